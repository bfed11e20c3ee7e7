use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const TWO: &str = "
apiVersion: v1
kind: Config
current-context: a
clusters: [{name: one, cluster: {server: 'http://127.0.0.1:1'}}]
contexts: [{name: a, context: {cluster: one}}, {name: b, context: {cluster: gone}}]
";

async fn with(text: &str, context: Option<&str>) -> Result<Cluster, ConnectError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    std::fs::write(&path, text).unwrap();
    connect(&Connect { kubeconfig: Some(path), context: context.map(String::from) }).await
}

async fn message(text: &str, context: Option<&str>) -> String {
    with(text, context).await.err().unwrap().to_string()
}

#[tokio::test]
async fn what_is_wrong_with_a_kubeconfig_is_told() {
    let missing = connect(&Connect { kubeconfig: Some("/nowhere".into()), context: None }).await;
    assert!(missing.err().unwrap().to_string().starts_with("no kubeconfig: `/nowhere` does not exist\n"));
    let text = "no context `c` in the kubeconfig\nhint: choose one with `--context`: `a`, `b`";
    assert_eq!(message(TWO, Some("c")).await, text);
    for empty in ["", "apiVersion: v1\nkind: Config\n"] {
        assert!(message(empty, None).await.starts_with("the kubeconfig has no contexts\nhint: "));
    }
    assert!(message(TWO, Some("b")).await.contains("cannot use context `b`"));
    assert!(message(&TWO.replace("current-context: a", ""), None).await.contains("`a`, `b`"));
}

#[tokio::test]
async fn bytes_that_are_no_text_are_no_kubeconfig() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    for bytes in [
        &b"\xff\xfe"[..],
        b"\xff\xfea",
        b"\xfe\xffabc",
        b"\xff\xfe\x00\xd8",
        b"\xef\xbb\xbf\xff",
        b"\xff",
        b"\0",
    ] {
        std::fs::write(&path, bytes).unwrap();
        let cluster = connect(&Connect { kubeconfig: Some(path.clone()), context: None }).await;
        assert!(cluster.is_err(), "{bytes:?}");
    }
    std::fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let large = connect(&Connect { kubeconfig: Some(path.clone()), context: None }).await;
    assert!(large.err().unwrap().to_string().contains("larger than 16 MiB"));
}

#[tokio::test]
async fn a_broken_kubeconfig_is_not_quoted() {
    let text = message("users:\n- name: ann\n  user: hunter2\n", None).await;
    assert!(text.contains("line") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn an_api_that_is_not_there_is_told_with_its_address() {
    let text = with(TWO, None).await.unwrap().reach().await.unwrap_err().to_string();
    assert!(text.starts_with("cannot reach the API at http://127.0.0.1:1: "), "{text}");
    assert!(text.contains("onnection refused\nhint: "), "no layers and numbers: {text}");
    assert!(!text.contains("ServiceError"), "{text}");
}

/// A listener, and a kubeconfig that leads to it.
async fn unsteady() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = TWO.replace("127.0.0.1:1", &listener.local_addr().unwrap().to_string());
    (listener, text)
}

#[tokio::test]
async fn a_client_outlives_its_connections_and_tries_nothing_twice() {
    let (listener, text) = unsteady().await;
    let served = tokio::spawn(async move {
        let mut served = 0;
        for code in ["200 OK", "503 Service Unavailable", "200 OK"] {
            let (mut socket, _) = listener.accept().await.unwrap();
            // What is left unread when a socket is closed takes the answer with it.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert!(socket.read_buf(&mut request).await.unwrap() > 0);
            }
            let body = r#"{"major":"1","minor":"34","gitVersion":"v1.34.2","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
            let answer = format!("HTTP/1.1 {code}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            socket.write_all(answer.as_bytes()).await.unwrap();
            served += 1;
        }
        served
    });
    let cluster = with(&text, None).await.unwrap();
    // A connection that has just ended may be taken for one that stands, and the request is lost on it.
    let ended = || tokio::time::sleep(Duration::from_millis(50));
    assert_eq!(cluster.reach().await.unwrap(), "v1.34.2");
    ended().await;
    assert!(cluster.reach().await.is_err());
    ended().await;
    assert_eq!(cluster.reach().await.unwrap(), "v1.34.2");
    assert_eq!(served.await.unwrap(), 3);
}

#[tokio::test]
async fn a_silent_api_does_not_hold_a_call_for_ever() {
    let (listener, text) = unsteady().await;
    let held = tokio::spawn(async move { listener.accept().await });
    let config = Kubeconfig::from_yaml(&text).unwrap();
    let (config, _) = load(config, None).await.unwrap();
    let builder = ClientBuilder::try_from(config).unwrap();
    let client = builder.with_layer(&Deadline(Duration::from_millis(200))).build();
    let error = client.apiserver_version().await.unwrap_err();
    assert!(causes(&error).contains("no answer to GET /version"), "{}", causes(&error));
    assert!(held.await.unwrap().is_ok());
}
