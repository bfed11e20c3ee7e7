//! The verbs done in Rust, one a file. A verb is known to kup once it stands in this list.

use std::sync::Arc;

use engine::action::{Action, Actions};

// The verbs.
mod aks;
mod apply_manifest;
mod certs_renew;
mod check_addons;
mod check_bad_releases;
mod check_certificate_requests;
mod check_certificates;
mod check_components;
mod check_disruption_budgets;
mod check_dns;
mod check_etcd;
mod check_flags;
mod check_gpus;
mod check_health;
mod check_helm_releases;
mod check_images;
mod check_machines;
mod check_manifests;
mod check_nodes_ready;
mod check_packages;
mod check_rancher;
mod check_removed_apis;
mod check_rollback;
mod check_single_points;
mod check_version_skew;
mod check_versions;
mod check_webhooks;
mod check_windows;
mod cordon;
mod drain;
mod eks;
mod etcd_backup;
mod etcd_defrag;
mod etcd_member;
mod etcd_move_leader;
mod etcd_remove_member;
mod etcd_restore;
mod etcd_snapshot;
mod gke;
mod helm_upgrade;
mod install;
mod install_binaries;
mod join_node;
mod kubeadm_apply;
mod kubeadm_node;
mod kubeadm_plan;
mod leave;
mod os_updates;
mod os_upgrade;
mod package_repository;
mod rancher_install;
mod rancher_restart;
mod rancher_snapshot;
mod read_command;
mod reboot;
mod restart_component;
mod restart_kubelet;
mod restore_kubelet_configuration;
mod restore_static_pods;
mod run_command;
mod run_script;
mod set_version;
mod static_pods;
mod try_writes;
mod uncordon;
mod upload_configuration;
mod wait_gpus;
mod wait_healthy;
mod wait_rollout;
mod windows_install;
mod windows_kubelet;
mod workloads;
mod write_kubelet_configuration;
mod write_static_pods;

// What they share.
mod argument;
mod binary;
mod certificates;
mod component;
mod configuration;
mod detached;
mod etcd;
mod etcd_releases;
mod facts;
mod failure;
mod flags;
mod helm;
mod host;
mod kubeadm;
mod managed;
mod manifest;
mod once;
mod packages;
mod pods;
mod rancher;
mod removed;
mod seal;
mod signing_key;
#[cfg(test)]
mod testing;
mod updates;
mod verdict;
mod windows;

/// Returns all of them.
pub(crate) fn all() -> Actions {
    let verbs: Vec<Arc<dyn Action>> = vec![
        Arc::new(verdict::Looks(check_addons::CheckAddons)),
        Arc::new(verdict::Looks(check_certificate_requests::CheckCertificateRequests)),
        Arc::new(verdict::Looks(check_certificates::CheckCertificates)),
        Arc::new(verdict::Looks(check_disruption_budgets::CheckDisruptionBudgets)),
        Arc::new(verdict::Looks(check_dns::CheckDns)),
        Arc::new(verdict::Looks(check_etcd::CheckEtcd)),
        Arc::new(verdict::Looks(check_flags::CheckFlags)),
        Arc::new(verdict::Looks(check_gpus::CheckGpus)),
        Arc::new(verdict::Looks(check_health::CheckHealth)),
        Arc::new(verdict::Looks(check_helm_releases::CheckHelmReleases)),
        Arc::new(verdict::Looks(check_images::CheckImages)),
        Arc::new(verdict::Looks(check_machines::CheckMachines)),
        Arc::new(verdict::Looks(check_manifests::CheckManifests)),
        Arc::new(verdict::Looks(check_nodes_ready::CheckNodesReady)),
        Arc::new(verdict::Looks(check_packages::CheckPackages)),
        Arc::new(verdict::Looks(check_bad_releases::CheckBadReleases)),
        Arc::new(verdict::Looks(check_removed_apis::CheckRemovedApis)),
        Arc::new(verdict::Looks(check_rollback::CheckRollback)),
        Arc::new(verdict::Looks(check_single_points::CheckSinglePoints)),
        Arc::new(verdict::Looks(check_version_skew::CheckVersionSkew)),
        Arc::new(verdict::Looks(check_versions::CheckVersions)),
        Arc::new(verdict::Looks(check_webhooks::CheckWebhooks)),
        Arc::new(verdict::Looks(workloads::CheckWorkloads)),
        Arc::new(workloads::SaveWorkloads("note workloads")),
        Arc::new(workloads::SaveWorkloads("save workloads")),
        Arc::new(workloads::WaitWorkloads),
        Arc::new(try_writes::TryWrites),
        Arc::new(cordon::Cordon),
        Arc::new(drain::Drain),
        Arc::new(uncordon::Uncordon),
        Arc::new(wait_healthy::WaitHealthy),
        Arc::new(wait_gpus::WaitGpus),
        Arc::new(pods::NotePods),
        Arc::new(pods::WaitPods),
        Arc::new(verdict::Looks(verdict::Foreseen(apply_manifest::ApplyManifest, "check manifest"))),
        Arc::new(verdict::Looks(verdict::Foreseen(helm_upgrade::HelmUpgrade, "check release"))),
        Arc::new(apply_manifest::ApplyManifest),
        Arc::new(helm_upgrade::HelmUpgrade),
        Arc::new(wait_rollout::WaitRollout::One),
        Arc::new(wait_rollout::WaitRollout::Manifest),
        Arc::new(wait_rollout::WaitRollout::Release),
        Arc::new(etcd_snapshot::EtcdSnapshot),
        Arc::new(etcd_backup::EtcdBackup),
        Arc::new(etcd_defrag::EtcdDefrag),
        Arc::new(etcd_member::ReadEtcdMember),
        Arc::new(etcd_move_leader::EtcdMoveLeader),
        Arc::new(etcd_remove_member::EtcdRemoveMember),
        Arc::new(etcd_restore::EtcdRestore),
        Arc::new(leave::ResetNode),
        Arc::new(leave::DeleteNode),
        Arc::new(join_node::JoinNode),
        Arc::new(static_pods::StartStaticPods),
        Arc::new(static_pods::StopStaticPods),
        Arc::new(certs_renew::CertsRenew),
        Arc::new(reboot::Reboot),
        Arc::new(os_updates::OsUpdates),
        Arc::new(os_upgrade::OsUpgrade),
        Arc::new(package_repository::PackageRepository),
        Arc::new(install::Install),
        Arc::new(kubeadm_plan::KubeadmPlan),
        Arc::new(kubeadm_apply::KubeadmApply),
        Arc::new(kubeadm_node::KubeadmNode),
        Arc::new(restart_kubelet::RestartKubelet),
        Arc::new(verdict::Looks(check_components::CheckBinaries)),
        Arc::new(verdict::Looks(check_components::CheckComponents)),
        Arc::new(install_binaries::InstallBinaries),
        Arc::new(restart_component::RestartComponent),
        Arc::new(verdict::Looks(check_rancher::CheckRancher(&rancher::K3S, "check k3s"))),
        Arc::new(verdict::Looks(check_rancher::CheckRancher(&rancher::RKE2, "check rke2"))),
        Arc::new(rancher_snapshot::Snapshot(&rancher::K3S, "k3s snapshot")),
        Arc::new(rancher_snapshot::Snapshot(&rancher::RKE2, "rke2 snapshot")),
        Arc::new(rancher_install::Install(&rancher::K3S, "k3s install")),
        Arc::new(rancher_install::Install(&rancher::RKE2, "rke2 install")),
        Arc::new(rancher_restart::Restart(&rancher::K3S, "k3s restart")),
        Arc::new(rancher_restart::Restart(&rancher::RKE2, "rke2 restart")),
        Arc::new(upload_configuration::Upload(&configuration::CLUSTER, "upload cluster configuration")),
        Arc::new(upload_configuration::Upload(&configuration::KUBELET, "upload kubelet configuration")),
        Arc::new(write_static_pods::WriteStaticPods),
        Arc::new(write_kubelet_configuration::WriteKubeletConfiguration),
        Arc::new(restore_kubelet_configuration::RestoreKubeletConfiguration),
        Arc::new(restore_static_pods::RestoreStaticPods),
        Arc::new(set_version::SetProxyVersion),
        Arc::new(set_version::SetClusterVersion),
        Arc::new(verdict::Looks(eks::CheckEks)),
        Arc::new(managed::Upgrade(eks::ControlPlane)),
        Arc::new(managed::Upgrade(eks::Addon)),
        Arc::new(managed::Upgrade(eks::NodeGroup)),
        Arc::new(verdict::Looks(gke::CheckGke)),
        Arc::new(managed::Upgrade(gke::Part::ControlPlane)),
        Arc::new(managed::Upgrade(gke::Part::NodePool)),
        Arc::new(verdict::Looks(aks::CheckAks)),
        Arc::new(managed::Upgrade(aks::Part::ControlPlane)),
        Arc::new(managed::Upgrade(aks::Part::NodePool)),
        Arc::new(verdict::Looks(check_windows::CheckWindowsNodes)),
        Arc::new(windows_install::InstallKubeadm),
        Arc::new(windows_kubelet::UpgradeKubelet),
        Arc::new(read_command::ReadCommand),
        Arc::new(run_command::RunCommand),
        Arc::new(run_script::RunScript),
    ];
    Actions::new(verbs)
}
