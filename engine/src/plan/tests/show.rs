//! The plan as people read it.

use expect_test::{Expect, expect};

use super::*;
use crate::plan::{forecast, show};

fn check(nodes: (usize, usize), done: impl Fn(&crate::plan::Step) -> bool, expect: Expect) {
    let inventory = inventory(nodes.0, nodes.1);
    let mut plan = plan(&upgrade(), &inventory);
    let probes = probes(&plan, done);
    forecast(&mut plan, &probes);
    expect.assert_eq(&show(&plan, &inventory));
}

#[test]
fn a_fresh_cluster() {
    check(
        (2, 4),
        |step| step.action == "uncordon" || step.action == "restart kubelet",
        expect![[r#"
            Upgrade
              target=v1.34.2

            node          role           now -> target       steps
            cp1           control plane  v1.33.4 -> v1.34.2  7 of 8
            cp2           control plane  v1.33.4 -> v1.34.2  6 of 7
            w1 .. w4 (4)  worker         v1.33.4 -> v1.34.2  6 of 7

            preflight
              = check nodes ready  5 nodes ready

            backup
              + etcd snapshot  v1.33.4 -> v1.34.2

            control_plane
              2 lanes, one at a time
              cp1
                + install kubeadm version=v1.34.2   v1.33.4 -> v1.34.2
                + kubeadm upgrade apply to=v1.34.2  v1.33.4 -> v1.34.2
                + drain                             v1.33.4 -> v1.34.2
                + install kubelet version=v1.34.2   v1.33.4 -> v1.34.2
                + restart kubelet
                ? wait healthy
                + uncordon
              cp2
                + install kubeadm version=v1.34.2  v1.33.4 -> v1.34.2
                + kubeadm upgrade node             v1.33.4 -> v1.34.2
                + drain                            v1.33.4 -> v1.34.2
                + install kubelet version=v1.34.2  v1.33.4 -> v1.34.2
                + restart kubelet
                ? wait healthy
                + uncordon

            workers
              4 lanes, 2 at a time, one canary first
              w1
                upgrade worker
                  + install kubeadm version=v1.34.2  v1.33.4 -> v1.34.2
                  + kubeadm upgrade node             v1.33.4 -> v1.34.2
                  + drain                            v1.33.4 -> v1.34.2
                  + install kubelet version=v1.34.2  v1.33.4 -> v1.34.2
                  + restart kubelet
                  ? wait healthy
                  + uncordon
              w3, w4, w2: as w1

            validate
              ? wait healthy cluster

            no way back after control_plane/cp1/kubeadm-upgrade-apply: kubeadm cannot downgrade a control plane
            37 changes, 7 to look, 1 done already, 0 not needed
        "#]],
    );
}

#[test]
fn a_cluster_that_is_upgraded_already() {
    check(
        (1, 2),
        |step| step.effect != Effect::Reads && !step.prepares,
        expect![[r#"
            Upgrade
              target=v1.34.2

            node    role           now -> target  steps
            cp1     control plane  v1.33.4        0 of 8
            w1, w2  worker         v1.33.4        0 of 7

            preflight
              = check nodes ready  5 nodes ready

            backup
              - etcd snapshot  nothing after it needs snapshot(cluster)

            control_plane
              1 lane, one at a time
              cp1
                = install kubeadm version=v1.34.2   is v1.34.2
                = kubeadm upgrade apply to=v1.34.2  is v1.34.2
                - drain                             nothing after it needs drained(cp1)
                = install kubelet version=v1.34.2   is v1.34.2
                = restart kubelet                   is v1.34.2
                - wait healthy                      nothing before it changes cp1
                = uncordon                          is v1.34.2

            workers
              2 lanes, 2 at a time, one canary first
              w1
                upgrade worker
                  = install kubeadm version=v1.34.2  is v1.34.2
                  = kubeadm upgrade node             is v1.34.2
                  - drain                            nothing after it needs drained(w1)
                  = install kubelet version=v1.34.2  is v1.34.2
                  = restart kubelet                  is v1.34.2
                  - wait healthy                     nothing before it changes w1
                  = uncordon                         is v1.34.2
              w2: as w1

            validate
              - wait healthy cluster  nothing before it changes anything

            0 changes, 0 to look, 16 done already, 8 not needed
        "#]],
    );
}
