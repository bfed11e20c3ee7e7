//! The contract, asked of a real cluster of one control plane and one worker.

use crate::questions;
use crate::support::Lab;

#[test]
fn the_simulator_answers_every_command_and_request_as_the_real_cluster_does() {
    let lab = Lab::up("cp1", "w1");
    // Its budget would not let the only worker be drained.
    lab.kubectl(&["delete", "deployment,pdb", "web"]);
    let story = questions::story();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let real = runtime.block_on(async { questions::answers(&lab.ports().await, &story).await });
    if std::env::var_os("KUP_RECORD").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract/answers.json");
        std::fs::write(path, serde_json::to_string_pretty(&real).expect("JSON") + "\n")
            .expect("the answers are written");
    }
    questions::compare(&story, &real, &questions::simulated(&story));
}
