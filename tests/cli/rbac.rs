//! `kup rbac`: what a playbook must be allowed to do. That it is enough is shown in `tests/access.rs`.

use expect_test::expect;

use crate::support::Kup;

#[test]
fn the_rights_of_a_playbook_are_manifests_to_apply() {
    let text = "use std/node\n\nplaybook \"Empty a node\"\n\nstage one {\n  each n in workers {\n    cordon\n    drain\n  }\n}\n";
    let ran = Kup::new().with("empty.kup", text).run("rbac empty.kup --user ann").exits(0);
    expect![[r##"
        # What `kup run empty.kup` needs in the cluster, and no more.
        apiVersion: rbac.authorization.k8s.io/v1
        kind: ClusterRole
        metadata:
          name: kup
        rules:
        - apiGroups: [""]
          resources: ["namespaces"]
          verbs: [get]
        - apiGroups: [""]
          resources: ["nodes"]
          verbs: [get, list, patch]
        - apiGroups: [""]
          resources: ["persistentvolumeclaims"]
          verbs: [get]
        - apiGroups: [""]
          resources: ["pods"]
          verbs: [list]
        - apiGroups: [""]
          resources: ["pods/eviction"]
          verbs: [create]
        - apiGroups: ["apps"]
          resources: ["daemonsets"]
          verbs: [list]
        - apiGroups: ["policy"]
          resources: ["poddisruptionbudgets"]
          verbs: [list]
        - apiGroups: ["storage.k8s.io"]
          resources: ["volumeattachments"]
          verbs: [list]
        ---
        apiVersion: rbac.authorization.k8s.io/v1
        kind: ClusterRoleBinding
        metadata:
          name: kup
        roleRef:
          apiGroup: rbac.authorization.k8s.io
          kind: ClusterRole
          name: kup
        subjects:
        - apiGroup: rbac.authorization.k8s.io
          kind: User
          name: "ann"
        ---
        apiVersion: rbac.authorization.k8s.io/v1
        kind: Role
        metadata:
          name: kup
          namespace: kube-system
        rules:
        - apiGroups: ["coordination.k8s.io"]
          resources: ["leases"]
          verbs: [create, get, patch]
        ---
        apiVersion: rbac.authorization.k8s.io/v1
        kind: RoleBinding
        metadata:
          name: kup
          namespace: kube-system
        roleRef:
          apiGroup: rbac.authorization.k8s.io
          kind: Role
          name: kup
        subjects:
        - apiGroup: rbac.authorization.k8s.io
          kind: User
          name: "ann"
        ---
        # On the nodes, where kup's login is not root, in /etc/sudoers.d/kup:
        #   ann ALL=(root) NOPASSWD: ALL
        # As root it runs sh; with `sh` among them, a shorter list would be no limit.
    "##]]
    .assert_eq(&ran.stdout);
}

#[test]
fn a_playbook_with_a_mistake_and_a_user_that_is_none_get_no_rights() {
    let kup = Kup::new().with("wrong.kup", "playbook \"x\"\n\nstage one { drian }\n").with_main_job();
    kup.run("rbac wrong.kup").exits(2).says("drian");
    kup.run_args(&["rbac", "up.kup", "--user", "a\"\nb"]).exits(2).says("not the name of a user");
}
