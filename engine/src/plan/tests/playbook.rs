//! The shipped playbook, from its text to its plan.

use dsl::source::{LoadError, Loader};
use expect_test::expect;

use super::*;

/// Reads the repository's own folders.
pub(super) struct Folders;

impl Loader for Folders {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let file = match path.strip_prefix("std/") {
            Some(module) => format!("{root}/stdlib/kup/{module}.kup"),
            None => format!("{root}/{path}"),
        };
        std::fs::read_to_string(file).map_err(|_| LoadError::NotFound)
    }
}

fn shipped() -> Program {
    let checked = dsl::check("playbooks/kubeadm-minor.kup", &Folders, &["std/node", "std/run"]);
    checked.program.unwrap_or_else(|| panic!("{:#?}", checked.diagnostics))
}

fn values(program: &Program, inventory: &Inventory) -> Vec<Value> {
    let given = [("target".to_string(), crate::inputs::Given::set("v1.34.2"))].into_iter().collect();
    crate::inputs::resolve(program, &given, inventory).expect("values")
}

#[test]
fn the_shipped_playbook_becomes_the_official_order() {
    let (program, inventory) = (shipped(), inventory(2, 3));
    let plan = crate::plan::build(&program, &inventory, &values(&program, &inventory)).expect("a plan");
    expect![[r#"
        Upgrade a kubeadm cluster by one minor version, control plane first
          target=v1.34.2  batch=10%  snapshots=./snapshots  emptydir=refuse  candidates=refuse  unsaved=refuse  addons=  conflicts=refuse  windows=https://dl.k8s.io/release  mirror=none  key=keep  charts=

        node  role           now -> target       steps
        cp1   control plane  v1.33.4 -> v1.34.2  8 of 10
        cp2   control plane  v1.33.4 -> v1.34.2  7 of 8
        w1    worker         v1.33.4 -> v1.34.2  7 of 8
        w2    worker         v1.33.4 -> v1.34.2  7 of 11
        w3    worker         v1.33.4 -> v1.34.2  7 of 8

        preflight
          ? check nodes ready
          ? check etcd to=v1.34.2
          ? check version skew to=v1.34.2
          ? check packages version=v1.34.2
          ? check disruption budgets

        backup
          ? etcd snapshot into=./snapshots
          ? note workloads into=./snapshots

        control_plane
          2 lanes, one at a time
          cp1
            ? package repository minor=v1.34
            ? install kubeadm version=v1.34.2
            ? wait healthy control_plane
            ? kubeadm upgrade plan to=v1.34.2
            ? kubeadm upgrade apply to=v1.34.2
            ? drain
            ? install kubelet, kubectl version=v1.34.2
            ? restart kubelet
            ? uncordon
          cp2
            ? package repository minor=v1.34
            ? install kubeadm version=v1.34.2
            ? wait healthy control_plane
            ? kubeadm upgrade node
            ? drain
            ? install kubelet, kubectl version=v1.34.2
            ? restart kubelet
            ? uncordon
          ? wait healthy control_plane

        addons
          nothing

        workers
          3 lanes, one at a time, one canary first
          w1
            upgrade worker
              ? package repository minor=v1.34
              ? install kubeadm version=v1.34.2
              ? kubeadm upgrade node
              ? drain
              ? install kubelet, kubectl version=v1.34.2
              ? restart kubelet
              ? wait healthy
              ? uncordon
          w3: as w1
          w2
            upgrade worker
              ? package repository minor=v1.34
              ? install kubeadm version=v1.34.2
              ? kubeadm upgrade node
              ? note pods
              ? drain
              ? install kubelet, kubectl version=v1.34.2
              ? restart kubelet
              ? wait healthy
              ? wait gpus
              ? uncordon
              ? wait pods ‹was.owners›

        validate
          validate cluster
            ? wait healthy cluster
            ? check versions are=v1.34.2
          ? wait workloads noted=./snapshots

        no way back after control_plane/cp1/kubeadm-upgrade-apply: kubeadm cannot downgrade a control plane; a control plane of two neighbouring minors may be held
        37 changes, 18 to look, 0 done already, 0 not needed
    "#]].assert_eq(&crate::plan::show(&plan, &inventory));
}
