//! The shipped playbooks, each with three shapes of clusters, what it does there, and what faults do to it.

/// A playbook with its parameters, and what it does.
pub(super) struct Road {
    pub(super) playbook: &'static str,
    pub(super) given: &'static [(&'static str, &'static str)],
    /// Shapes of clusters, and how much is changed there. In the first one only that which can be taken back, where anything can.
    pub(super) shapes: [(&'static str, usize); 3],
    /// How much is changed the second time.
    pub(super) again: [usize; 3],
    /// How the names of the nodes begin that are taken back in the first two shapes; none: nothing is.
    pub(super) back: [Option<&'static str>; 2],
    /// A fault, in which of the shapes it strikes, and what the run does about it.
    pub(super) faults: &'static [(&'static str, usize, Met)],
}

/// What a run does about a fault.
pub(super) enum Met {
    /// It ends well, and the cluster is as without the fault.
    Through,
    /// It holds for a reason in which these words stand, and begins nothing new.
    Holds(&'static str),
}

pub(super) const ROADS: [Road; 26] = [
    Road {
        playbook: "kubeadm-minor",
        given: &[("target", "v1.34.2")],
        shapes: [(BEHIND_A_MINOR, 15), (LOCKED, 30), ("5+1@v1.33.4", 44)],
        again: [0; 3],
        back: [Some("w"), None],
        faults: &[
            ("F41@w1", 0, Met::Through),
            ("F11@cp1", 1, Met::Through),
            ("F40@cp2", 1, Met::Through),
            ("F16@cp1", 2, Met::Holds("etcd")),
        ],
    },
    Road {
        playbook: "kubeadm-minor",
        given: &[("target", "v1.34.2")],
        shapes: [(BEHIND_WITH_DNF, 15), (EXTERNAL_33, 30), (EXTERNAL_BOTH, 30)],
        again: [0; 3],
        back: [Some("w"), None],
        faults: &[
            ("F23@w1", 0, Met::Holds("does not know one of its flags")),
            ("F10@cp2", 1, Met::Through),
            ("F16@cp1", 1, Met::Holds("cannot reach cp3")),
            ("F37@w1", 2, Met::Through),
        ],
    },
    Road {
        playbook: "kubeadm-hops",
        given: &[("target", "v1.34.2")],
        shapes: [(BEHIND, 15), (DNF, 52), (EXTERNAL, 32)],
        again: [0; 3],
        back: [Some("w"), None],
        faults: &[
            ("F41@w1", 0, Met::Through),
            ("F11@cp2", 1, Met::Through),
            ("F16@cp1", 1, Met::Holds("etcd")),
            ("F40@cp1", 2, Met::Through),
        ],
    },
    Road {
        playbook: "kubeadm-patch",
        given: &[("target", "v1.34.2")],
        shapes: [(BEHIND_A_PATCH, 13), (DNF_34, 26), (EXTERNAL_34, 26)],
        again: [0; 3],
        back: [Some("w"), None],
        faults: &[
            ("F41@w1", 0, Met::Through),
            ("F10@cp1", 1, Met::Through),
            ("F16@cp1", 2, Met::Holds("cannot reach cp3")),
        ],
    },
    Road {
        playbook: "windows-workers",
        given: &[],
        shapes: [(WINDOWS_BEHIND, 10), (WINDOWS_DNF, 5), (WINDOWS_EXTERNAL, 5)],
        again: [0; 3],
        back: [Some("win"), Some("win")],
        faults: &[
            ("F41@win1", 0, Met::Through),
            ("F40@win1", 1, Met::Through),
            ("F23@win1", 2, Met::Holds("does not stay up")),
        ],
    },
    Road {
        playbook: "rke2",
        given: &[("target", "v1.34.2+rke2r1"), ("unsaved", "allow")],
        shapes: [(RKE2_BEHIND, 8), (RKE2_DNF, 17), (RKE2_EXTERNAL, 16)],
        again: [0; 3],
        back: [Some("w"), None],
        faults: &[
            ("F23@w1", 0, Met::Holds("does not know one of its flags")),
            ("F40@cp1", 1, Met::Through),
            ("F56@cp1", 2, Met::Holds("cannot reach cp1")),
        ],
    },
    Road {
        playbook: "certs-renew",
        given: &[("left", "320d")],
        shapes: [("1+1@v1.33.4", 1), ("5+0@v1.34.2", 5), (EXTERNAL_33, 3)],
        again: [0; 3],
        back: [None, None],
        faults: &[
            ("F40@cp1", 0, Met::Through),
            ("F40@cp2", 1, Met::Through),
            ("F56@cp1", 2, Met::Holds("cannot reach cp1")),
        ],
    },
    Road {
        playbook: "etcd-backup",
        given: &[],
        shapes: [("1+1@v1.33.4", 1), ("5+0@v1.34.2", 1), (EXTERNAL_33, 1)],
        again: [1; 3],
        back: [None, None],
        faults: &[
            ("F40@cp1", 0, Met::Through),
            ("F40@cp1", 1, Met::Through),
            ("F56@cp1", 1, Met::Holds("cannot reach cp1")),
        ],
    },
    Road {
        playbook: "etcd-defrag",
        given: &[],
        shapes: [("1+1@v1.33.4", 1), ("5+0@v1.34.2", 6), (EXTERNAL_33, 4)],
        again: [0; 3],
        back: [None, None],
        faults: &[
            ("F40@cp1", 0, Met::Through),
            ("F40@cp1", 1, Met::Through),
            ("F56@cp1", 1, Met::Holds("cannot reach cp1")),
        ],
    },
    Road {
        playbook: "etcd-move-leader",
        given: &[("off", "cp1")],
        shapes: [("3+1@v1.33.4", 1), ("5+0@v1.34.2", 1), ("1+1@v1.33.4", 0)],
        again: [0; 3],
        back: [None, None],
        faults: &[
            ("F56@cp1", 0, Met::Holds("cannot reach cp1")),
            ("F56@cp1", 1, Met::Holds("cannot reach cp1")),
        ],
    },
    Road {
        playbook: "validate",
        given: &[],
        shapes: [("1+1@v1.33.4", 1), (DNF_33, 1), (EXTERNAL_33, 1)],
        again: [1; 3],
        back: [None, None],
        faults: &[
            ("F32@cp1", 0, Met::Holds("nobody answers at")),
            ("F32@w1", 2, Met::Holds("nobody answers at")),
        ],
    },
    Road {
        playbook: "gke",
        given: &[("cluster", "sim"), ("location", "europe-west3"), ("target", "v1.34.2-gke.1036000")],
        shapes: [("0+1@v1.33.4-gke", 2), ("0+4@v1.34.1-gke", 2), (GKE_POOLS, 4)],
        again: [0; 3],
        back: [None, None],
        faults: &[
            ("F26@w1", 0, Met::Holds("allows 0 pods to be unavailable")),
            ("F32@w2", 1, Met::Holds("nobody answers at")),
        ],
    },
    Road {
        playbook: "aks",
        given: &[("group", "rg"), ("cluster", "sim"), ("target", "v1.34.2")],
        shapes: [("0+1@v1.33.4-aks", 2), ("0+4@v1.34.1-aks", 2), (AKS_POOLS, 4)],
        again: [0; 3],
        back: [None, None],
        faults: &[
            ("F26@w1", 0, Met::Holds("allows 0 pods to be unavailable")),
            ("F32@w2", 1, Met::Holds("nobody answers at")),
        ],
    },
    Road {
        playbook: "kubeadm-config",
        given: &[("from", "c.yaml")],
        shapes: [("1+1@v1.33.4", 10), ("3+2@v1.33.4", 21), (DNF_EXTERNAL, 10)],
        again: [0; 3],
        back: [Some(""), Some("")],
        faults: &[
            ("F40@w1", 0, Met::Through),
            ("F41@cp2", 1, Met::Through),
            ("F56@cp1", 1, Met::Holds("cannot reach cp1")),
            ("F37@cp1", 2, Met::Through),
        ],
    },
    Road {
        playbook: "binaries",
        given: &[("target", "v1.34.2")],
        shapes: [(BUILT_BEHIND, 10), (BUILT, 36), (BUILT_EXTERNAL, 21)],
        again: [0; 3],
        back: [Some(""), Some("")],
        faults: &[
            ("F23@w1", 0, Met::Holds("does not know one of its flags")),
            ("F40@cp1", 1, Met::Through),
            ("F13@cp1", 2, Met::Holds("does not stay up")),
        ],
    },
    Road {
        playbook: "k3s",
        given: &[("target", "v1.34.2+k3s1"), ("unsaved", "allow")],
        shapes: [(K3S_BEHIND, 8), ("3+2@v1.33.4+k3s1", 21), (K3S_EXTERNAL, 16)],
        again: [0; 3],
        back: [Some("w"), None],
        faults: &[
            ("F23@w1", 0, Met::Holds("does not know one of its flags")),
            ("F40@cp1", 1, Met::Through),
            ("F56@cp1", 2, Met::Holds("cannot reach cp1")),
        ],
    },
    Road {
        playbook: "eks",
        given: &[("cluster", "sim"), ("target", "v1.34")],
        shapes: [("0+1@v1.33.4-eks", 5), ("0+4@v1.33.4-eks", 5), (EKS_POOLS, 7)],
        again: [0; 3],
        back: [None, None],
        faults: &[
            ("F33@w1", 0, Met::Holds("Deprecated API usage")),
            ("F26@w1", 1, Met::Holds("allows 0 pods to be unavailable")),
        ],
    },
    Road {
        playbook: "workers-only",
        given: &[],
        shapes: [(BEHIND, 14), (BEHIND_WITH_DNF, 14), (BEHIND_EXTERNAL, 14)],
        again: [0; 3],
        back: [Some("w"), Some("w")],
        faults: &[
            ("F41@w1", 0, Met::Through),
            ("F40@w1", 1, Met::Through),
            ("F44@gpu1", 2, Met::Holds("offers 0 of 4 GPUs")),
        ],
    },
    Road {
        playbook: "os-patch",
        given: &[],
        shapes: [("1+2@v1.33.4", 7), (DNF_33, 3), (EXTERNAL_GPU, 6)],
        again: [0; 3],
        back: [None, None],
        faults: &[
            ("F40@w1", 0, Met::Through),
            ("F41@w1", 1, Met::Through),
            ("F56@gpu1", 2, Met::Holds("cannot reach gpu1")),
        ],
    },
    Road {
        playbook: "node-reboot",
        given: &[],
        shapes: [(REBOOT, 6), (REBOOT_DNF, 6), (REBOOT_EXTERNAL, 6)],
        again: [0; 3],
        back: [None, None],
        faults: &[
            ("F26@w1", 0, Met::Holds("allows 0 pods to be unavailable")),
            ("F56@w1", 1, Met::Holds("cannot reach w1")),
            ("F44@gpu1", 2, Met::Holds("offers 0 of 4 GPUs")),
        ],
    },
    Road {
        playbook: "node-replace",
        given: &[("old", "w1")],
        shapes: [("1+2@v1.33.4", 4), (DNF_33, 4), (EXTERNAL_33, 4)],
        again: [4, 4, 4],
        back: [None, None],
        faults: &[
            ("F40@w1", 2, Met::Through),
            ("F26@w1", 0, Met::Holds("allows 0 pods to be unavailable")),
            ("F56@w1", 1, Met::Holds("cannot reach w1")),
        ],
    },
    Road {
        playbook: "node-replace",
        given: &[("old", "cp2")],
        shapes: [("3+1@v1.33.4", 5), (DNF_33, 5), (EXTERNAL_33, 4)],
        again: [5, 5, 4],
        back: [None, None],
        faults: &[
            ("F40@cp2", 2, Met::Through),
            ("F26@cp2", 0, Met::Holds("allows 0 pods to be unavailable")),
            ("F56@cp2", 1, Met::Holds("cannot reach cp2")),
        ],
    },
    Road {
        playbook: "etcd-restore",
        given: &[("from", "s.db")],
        shapes: [("1+1@v1.33.4", 7), (DNF_33, 19), ("5+0@v1.34.2", 30)],
        again: [7, 19, 30],
        back: [Some("cp"), Some("cp")],
        faults: &[("F40@cp2", 1, Met::Through), ("F56@cp1", 2, Met::Holds("cannot reach cp1"))],
    },
    Road {
        playbook: "rollback-worker",
        given: &[("to", "v1.33.4")],
        shapes: [(UPGRADED, 12), (UPGRADED_DNF, 6), (UPGRADED_EXTERNAL, 12)],
        again: [0; 3],
        back: [Some("w"), Some("w")],
        faults: &[
            ("F40@w1", 0, Met::Through),
            ("F23@w1", 1, Met::Holds("does not know one of its flags")),
            ("F44@gpu1", 2, Met::Holds("offers 0 of 4 GPUs")),
        ],
    },
    Road {
        playbook: "rollback-control-plane",
        given: &[("to", "v1.33.4")],
        shapes: [(UPGRADED, 25), (UPGRADED_DNF, 34), (UPGRADED_EXTERNAL, 41)],
        again: [0; 3],
        back: [Some(""), Some("")],
        faults: &[
            ("F40@cp1", 0, Met::Through),
            ("F40@cp2", 1, Met::Through),
            ("F52@cp1", 2, Met::Holds("cannot be pulled")),
        ],
    },
    Road {
        playbook: "preflight",
        given: &[("target", "v1.34.2")],
        shapes: [("1+1@v1.33.4", 0), (DNF_33, 0), (EXTERNAL_33, 0)],
        again: [0; 3],
        back: [None, None],
        faults: &[
            ("F33@cp1", 0, Met::Holds("is gone since v1.34")),
            ("F03@w1", 1, Met::Holds("the package repository could not be read")),
            ("F53@w1", 2, Met::Holds("swap is on")),
        ],
    },
];

const BUILT_BEHIND: &str = "version = \"v1.34.2\"\ncontrol_plane = 1\ncomponents = \"systemd\"\n\
    [[pool]]\nname = \"w\"\ncount = 2\nversion = \"v1.33.4\"\n";
const BUILT: &str =
    "version = \"v1.33.4\"\ncontrol_plane = 3\ncomponents = \"systemd\"\n[[pool]]\nname = \"w\"\ncount = 1\n";
const BUILT_EXTERNAL: &str = "version = \"v1.33.4\"\ncontrol_plane = 1\ncomponents = \"systemd\"\netcd = { hosts = 3 }\n\
    [[pool]]\nname = \"w\"\ncount = 2\n";
const K3S_BEHIND: &str = "version = \"v1.34.2+k3s1\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 2\nversion = \"v1.33.4+k3s1\"\n";
const K3S_EXTERNAL: &str = "version = \"v1.33.4+k3s1\"\ncontrol_plane = 2\netcd = { hosts = 3 }\n\
    [[pool]]\nname = \"gpu\"\ncount = 1\ngpu = 4\n[[pool]]\nname = \"w\"\ncount = 1\n";
const EKS_POOLS: &str = "version = \"v1.33.4\"\ncontrol_plane = 0\nmanaged = \"eks\"\n\
    [[pool]]\nname = \"ai\"\ncount = 1\ngpu = 4\n[[pool]]\nname = \"db\"\ncount = 1\nversion = \"v1.32.4\"\n\
    [[pool]]\nname = \"web\"\ncount = 2\n";
const BEHIND_EXTERNAL: &str = "version = \"v1.34.2\"\ncontrol_plane = 3\netcd = { hosts = 3, packages = \"dnf\" }\n\
    [[pool]]\nname = \"w\"\ncount = 1\nversion = \"v1.33.4\"\n[[pool]]\nname = \"gpu\"\ncount = 1\ngpu = 4\nversion = \"v1.33.4\"\n";
const DNF_EXTERNAL: &str = "version = \"v1.33.4\"\ncontrol_plane = 1\npackages = \"dnf\"\netcd = { hosts = 3 }\n\
    [[pool]]\nname = \"w\"\ncount = 1\n";
const EXTERNAL_GPU: &str = "version = \"v1.33.4\"\ncontrol_plane = 1\netcd = { hosts = 3 }\n\
    [[pool]]\nname = \"w\"\ncount = 1\n[[pool]]\nname = \"gpu\"\ncount = 1\ngpu = 4\n";
const REBOOT: &str =
    "version = \"v1.33.4\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 2\nreboot_wanted = true\n";
const REBOOT_DNF: &str = "version = \"v1.33.4\"\ncontrol_plane = 3\npackages = \"dnf\"\n\
    [[pool]]\nname = \"w\"\ncount = 1\nreboot_wanted = true\n[[pool]]\nname = \"v\"\ncount = 1\npackages = \"dnf\"\nreboot_wanted = true\n";
const REBOOT_EXTERNAL: &str = "version = \"v1.33.4\"\ncontrol_plane = 3\netcd = { hosts = 3 }\n\
    [[pool]]\nname = \"w\"\ncount = 1\nreboot_wanted = true\n[[pool]]\nname = \"gpu\"\ncount = 1\ngpu = 4\nreboot_wanted = true\n";
const UPGRADED: &str = "version = \"v1.34.2\"\nupgraded_from = \"v1.33.4\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 2\n";
const UPGRADED_DNF: &str = "version = \"v1.34.2\"\nupgraded_from = \"v1.33.4\"\ncontrol_plane = 3\npackages = \"dnf\"\n\
    [[pool]]\nname = \"w\"\ncount = 1\npackages = \"dnf\"\n";
const UPGRADED_EXTERNAL: &str = "version = \"v1.34.2\"\nupgraded_from = \"v1.33.4\"\ncontrol_plane = 3\netcd = { hosts = 3 }\n\
    [[pool]]\nname = \"w\"\ncount = 1\n[[pool]]\nname = \"gpu\"\ncount = 1\ngpu = 4\n";

/// Workers that lag behind a control plane that is there already.
const BEHIND: &str =
    "version = \"v1.34.2\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 2\nversion = \"v1.32.4\"\n";
const BEHIND_A_MINOR: &str =
    "version = \"v1.34.2\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 2\nversion = \"v1.33.4\"\n";
const BEHIND_WITH_DNF: &str = "version = \"v1.34.2\"\ncontrol_plane = 1\nversionlock = true\n\
    [[pool]]\nname = \"w\"\ncount = 2\nversion = \"v1.33.4\"\npackages = \"dnf\"\n";
const LOCKED: &str = "version = \"v1.33.4\"\ncontrol_plane = 3\npackages = \"dnf\"\nversionlock = true\n\
    [[pool]]\nname = \"w\"\ncount = 1\npackages = \"dnf\"\n";
const EXTERNAL_BOTH: &str = "version = \"v1.33.4\"\ncontrol_plane = 3\npackages = \"dnf\"\netcd = { hosts = 3 }\n\
    [[pool]]\nname = \"w\"\ncount = 1\n";
const BEHIND_A_PATCH: &str =
    "version = \"v1.34.2\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 2\nversion = \"v1.34.1\"\n";
/// Workers that run Windows and lag behind, beside one that does neither.
const WINDOWS_BEHIND: &str = "version = \"v1.34.2\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 1\n\
    [[pool]]\nname = \"win\"\ncount = 2\nos = \"windows\"\nversion = \"v1.32.4\"\n";
const WINDOWS_DNF: &str = "version = \"v1.34.2\"\ncontrol_plane = 3\npackages = \"dnf\"\n\
    [[pool]]\nname = \"win\"\ncount = 1\nos = \"windows\"\nversion = \"v1.33.4\"\n";
const WINDOWS_EXTERNAL: &str = "version = \"v1.34.2\"\ncontrol_plane = 1\netcd = { hosts = 3, packages = \"dnf\" }\n\
    [[pool]]\nname = \"w\"\ncount = 1\n[[pool]]\nname = \"win\"\ncount = 1\nos = \"windows\"\nversion = \"v1.33.4\"\n";
const RKE2_BEHIND: &str = "version = \"v1.34.2+rke2r1\"\ncontrol_plane = 1\n[[pool]]\nname = \"w\"\ncount = 2\nversion = \"v1.33.4+rke2r1\"\n";
const DNF_34: &str = "version = \"v1.34.1\"\ncontrol_plane = 3\npackages = \"dnf\"\n\
    [[pool]]\nname = \"w\"\ncount = 1\npackages = \"dnf\"\n";
const EXTERNAL_34: &str = "version = \"v1.34.1\"\ncontrol_plane = 3\netcd = { hosts = 3, packages = \"dnf\" }\n\
    [[pool]]\nname = \"w\"\ncount = 1\n";
const DNF: &str = "version = \"v1.32.4\"\ncontrol_plane = 3\npackages = \"dnf\"\n\
    [[pool]]\nname = \"w\"\ncount = 1\npackages = \"dnf\"\n";
const DNF_33: &str = "version = \"v1.33.4\"\ncontrol_plane = 3\npackages = \"dnf\"\n\
    [[pool]]\nname = \"w\"\ncount = 1\npackages = \"dnf\"\n";
const EXTERNAL: &str = "version = \"v1.31.4\"\ncontrol_plane = 1\netcd = { hosts = 3, packages = \"dnf\" }\n\
    [[pool]]\nname = \"w\"\ncount = 1\n";
const EXTERNAL_33: &str = "version = \"v1.33.4\"\ncontrol_plane = 3\netcd = { hosts = 3, packages = \"dnf\" }\n\
    [[pool]]\nname = \"w\"\ncount = 1\n";
const RKE2_DNF: &str = "version = \"v1.33.4+rke2r1\"\ncontrol_plane = 3\npackages = \"dnf\"\n\
    [[pool]]\nname = \"w\"\ncount = 1\npackages = \"dnf\"\n";
const RKE2_EXTERNAL: &str = "version = \"v1.33.4+rke2r1\"\ncontrol_plane = 2\netcd = { hosts = 3 }\n\
    [[pool]]\nname = \"gpu\"\ncount = 1\ngpu = 4\n[[pool]]\nname = \"w\"\ncount = 1\n";
const GKE_POOLS: &str = "version = \"v1.33.4\"\ncontrol_plane = 0\nmanaged = \"gke\"\n\
    [[pool]]\nname = \"ai\"\ncount = 1\ngpu = 4\n[[pool]]\nname = \"db\"\ncount = 1\nversion = \"v1.32.4\"\n\
    [[pool]]\nname = \"web\"\ncount = 2\n";
const AKS_POOLS: &str = "version = \"v1.33.4\"\ncontrol_plane = 0\nmanaged = \"aks\"\n\
    [[pool]]\nname = \"ai\"\ncount = 1\ngpu = 4\n[[pool]]\nname = \"db\"\ncount = 1\nversion = \"v1.32.4\"\n\
    [[pool]]\nname = \"web\"\ncount = 2\n";
