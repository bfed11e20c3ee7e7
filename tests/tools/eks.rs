//! The verbs for EKS and a real `aws`: it talks to the simulated service, whose answers are held to the model that AWS itself makes its
//! clients from.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use dsl::value::Value;
use engine::action::{Check, Context, Progress};
use engine::event::Failure;
use engine::port::{Clock, Command, Output, Ports, Shell, ShellError, Shells};
use serde_json::{Value as Json, json};
use sim::managed::eks;
use sim::world::{Shared, lock};

/// Returns the AWS CLI.
fn aws() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| super::program("aws/bin/aws")).clone();
    if found.is_none() {
        eprintln!("not run: there is no `aws` (tests/run.sh installs one)");
    }
    found
}

/// Returns botocore's model of the service, which the AWS CLI brings.
fn model(aws: &Path) -> Option<Json> {
    let lib = aws.parent()?.parent()?.join("lib");
    let python = std::fs::read_dir(lib)
        .ok()?
        .filter_map(Result::ok)
        .find(|e| e.file_name().to_string_lossy().starts_with("python"))?;
    let packages = python.path().join("site-packages");
    let places = ["awscli/botocore", "botocore"]
        .map(|place| packages.join(place).join("data/eks/2017-11-01/service-2.json"));
    let text = places.iter().find_map(|place| std::fs::read_to_string(place).ok())?;
    serde_json::from_str(&text).ok()
}

fn cluster(shape: &str) -> sim::Cluster {
    sim::Cluster::start(sim::Shape::parse(shape).unwrap(), 7, Vec::new())
}

/// From here on a minute of the provider's takes so long.
fn minute(world: &Shared, takes: Duration) {
    lock(world).managed.as_mut().unwrap().minute = takes;
}

#[tokio::test]
async fn every_answer_of_the_simulated_service_has_the_shape_of_its_model() {
    let Some(model) = aws().and_then(|aws| model(&aws)) else {
        eprintln!("not run: there is no model of EKS beside `aws`");
        return;
    };
    let cluster = cluster("0+2@v1.33.4-eks");
    let world = &cluster.world;
    let ask = |operation: &str, method: &str, path: &str, query: &str, body: Json| {
        let answer = eks::ask(world, method, path, query, &body);
        let described = &model["operations"][operation];
        let uri =
            described["http"]["requestUri"].as_str().unwrap_or_else(|| panic!("no operation {operation}"));
        assert_eq!(described["http"]["method"], method, "{operation}");
        assert!(fits(uri, path), "{operation}: {path} is not {uri}");
        match answer {
            Ok(body) => {
                let shape = described["output"]["shape"].as_str().unwrap();
                hold(&model, shape, &body, operation);
                body
            }
            Err((code, kind, message)) => {
                let known =
                    described["errors"].as_array().unwrap().iter().any(|error| error["shape"] == *kind);
                assert!(known, "{operation} never says {kind}: {message}");
                assert_eq!(model["shapes"][&kind]["error"]["httpStatusCode"], code, "{kind}");
                json!({ "error": kind })
            }
        }
    };
    let (c, none) = ("/clusters/sim", Json::Null);
    ask("DescribeCluster", "GET", c, "", none.clone());
    assert_eq!(
        ask("DescribeCluster", "GET", "/clusters/other", "", none.clone())["error"],
        "ResourceNotFoundException"
    );
    ask("ListNodegroups", "GET", &format!("{c}/node-groups"), "", none.clone());
    ask("DescribeNodegroup", "GET", &format!("{c}/node-groups/w"), "", none.clone());
    ask("ListAddons", "GET", &format!("{c}/addons"), "", none.clone());
    ask("DescribeAddon", "GET", &format!("{c}/addons/coredns"), "", none.clone());
    ask(
        "DescribeAddonVersions",
        "GET",
        "/addons/supported-versions",
        "addonName=coredns&kubernetesVersion=1.34",
        none.clone(),
    );
    ask("ListInsights", "POST", &format!("{c}/insights"), "", json!({}));
    let skips = json!({ "version": "1.35" });
    assert_eq!(
        ask("UpdateClusterVersion", "POST", &format!("{c}/updates"), "", skips)["error"],
        "InvalidParameterException"
    );
    let to = json!({ "version": "1.34", "clientRequestToken": "a" });
    let begun = ask("UpdateClusterVersion", "POST", &format!("{c}/updates"), "", to.clone());
    let again = ask("UpdateClusterVersion", "POST", &format!("{c}/updates"), "", to);
    assert_eq!(begun["update"]["id"], again["update"]["id"], "one token is one update");
    let other = json!({ "version": "1.34", "clientRequestToken": "b" });
    assert_eq!(
        ask("UpdateClusterVersion", "POST", &format!("{c}/updates"), "", other)["error"],
        "ResourceInUseException"
    );
    let early = json!({ "version": "1.34" });
    let group = format!("{c}/node-groups/w/update-version");
    assert_eq!(
        ask("UpdateNodegroupVersion", "POST", &group, "", early)["error"],
        "InvalidParameterException"
    );
    ask("ListUpdates", "GET", &format!("{c}/updates"), "", none.clone());
    let id = begun["update"]["id"].as_str().unwrap();
    ask("DescribeUpdate", "GET", &format!("{c}/updates/{id}"), "", none);
    ask(
        "UpdateAddon",
        "POST",
        &format!("{c}/addons/coredns/update"),
        "",
        json!({ "addonVersion": "v1.12.4-eksbuild.1" }),
    );
    ask("UpdateNodegroupVersion", "POST", &group, "", json!({ "version": "1.33" }));
}

/// Returns whether a path is one of `/clusters/{name}/updates`.
fn fits(uri: &str, path: &str) -> bool {
    let (uri, path): (Vec<&str>, Vec<&str>) = (uri.split('/').collect(), path.split('/').collect());
    uri.len() == path.len() && uri.iter().zip(&path).all(|(want, have)| want.starts_with('{') || want == have)
}

/// Holds a value to a shape of the model: members that exist, of their types, with values that are among those that there are.
fn hold(model: &Json, shape: &str, value: &Json, at: &str) {
    let described = &model["shapes"][shape];
    match described["type"].as_str().unwrap_or_else(|| panic!("no shape {shape}")) {
        "structure" => {
            let members = value.as_object().unwrap_or_else(|| panic!("{at} is no structure: {value}"));
            for (name, value) in members {
                let member = &described["members"][name];
                let shape = member["shape"].as_str().unwrap_or_else(|| panic!("{at} has no member {name}"));
                hold(model, shape, value, &format!("{at}.{name}"));
            }
        }
        "list" => {
            let member = described["member"]["shape"].as_str().unwrap();
            for value in value.as_array().unwrap_or_else(|| panic!("{at} is no list: {value}")) {
                hold(model, member, value, at);
            }
        }
        "map" => {
            let member = described["value"]["shape"].as_str().unwrap();
            value.as_object().unwrap().values().for_each(|value| hold(model, member, value, at));
        }
        "string" => {
            let text = value.as_str().unwrap_or_else(|| panic!("{at} is no string: {value}"));
            let values = described["enum"].as_array();
            assert!(
                values.is_none_or(|values| values.iter().any(|known| known == text)),
                "{at} is never {text}"
            );
        }
        "integer" | "long" => assert!(value.is_i64() || value.is_u64(), "{at} is no number: {value}"),
        // In JSON of REST a time is a number unless the model says otherwise.
        "timestamp" => assert!(value.is_number(), "{at} is no time: {value}"),
        "boolean" => assert!(value.is_boolean(), "{at} is no boolean: {value}"),
        other => panic!("{at} is of the type {other}, which no answer here should be"),
    }
}

/// This machine, with the real command in front and the simulated service behind it.
#[derive(Clone)]
struct Machine {
    aws: PathBuf,
    url: String,
}

impl Shells for Machine {
    fn on(&self, _: &str) -> Arc<dyn Shell> {
        panic!("nobody logs in to a node of EKS")
    }

    fn here(&self) -> Arc<dyn Shell> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl Shell for Machine {
    async fn run(&self, command: &Command) -> Result<Output, ShellError> {
        assert_eq!(command.argv[0], "aws");
        let mut program = tokio::process::Command::new(&self.aws);
        program
            .args(&command.argv[1..])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let variables = [
            ("HOME", "/nonexistent"),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "example"),
            ("AWS_DEFAULT_REGION", "eu-central-1"),
            ("AWS_ENDPOINT_URL_EKS", &self.url),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        let output = program.envs(variables).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Output {
            code: output.status.code().unwrap_or(255),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        })
    }

    async fn read(&self, _: &str) -> Result<Option<Vec<u8>>, ShellError> {
        Ok(None)
    }

    async fn write(&self, path: &str, _: &[u8], _: u32) -> Result<(), ShellError> {
        Err(ShellError::Refused(path.to_string()))
    }

    async fn fetch(&self, path: &str, _: &Path) -> Result<u64, ShellError> {
        Err(ShellError::Refused(path.to_string()))
    }
}

/// Nobody waits: the provider is done whenever a test says so.
struct Fast;

#[async_trait]
impl Clock for Fast {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn wall(&self) -> Duration {
        Duration::from_secs(1_767_225_600)
    }

    async fn sleep(&self, _: Duration) {}
}

/// Looks and begins, and follows to the end, as a run does: the first look finds the provider at work, the next one at the end.
/// `forget` loses the process after it has begun.
async fn perform(world: &Shared, cx: &Context, verb: &str, forget: bool) -> Result<String, Failure> {
    let actions = stdlib::actions();
    let action = actions.get(verb).unwrap();
    let before = match action.check(cx).await? {
        Check::Done(why) => return Ok(why),
        Check::Needs { before, .. } => before,
    };
    minute(world, Duration::from_secs(60));
    let mut progress = action.start(cx, &before).await?;
    if forget {
        // What was begun is found again, whoever asks.
        let Progress::Pending { handle, .. } = &progress else { panic!("{verb} waits for nothing") };
        let again = Context { attempt: 2, ..cx.clone() };
        let found = action.start(&again, &before).await?;
        assert!(
            matches!(&found, Progress::Pending { handle: same, .. } if same == handle),
            "{verb} was begun twice"
        );
        progress = found;
    }
    let Progress::Pending { handle, .. } = progress else { panic!("{verb} is at its end before it began") };
    let first = action.poll(cx, &handle).await?;
    assert!(matches!(first, Progress::Pending { .. }), "{verb} is at its end at once");
    minute(world, Duration::ZERO);
    match action.poll(cx, &handle).await? {
        Progress::Done(_) => Ok("upgraded".to_string()),
        Progress::Pending { reason, .. } => panic!("{verb} does not end: {reason}"),
    }
}

fn context(machine: Machine, args: &[(&str, &str)]) -> Context {
    let minor = |name: &str, text: &str| match name {
        "to" => Value::Minor(text.parse().unwrap()),
        _ => Value::Text(text.to_string()),
    };
    Context {
        ports: Arc::new(Ports { kube: None, shells: Arc::new(machine), clock: Arc::new(Fast), web: None }),
        inventory: Arc::default(),
        run: "r1".into(),
        // Each step has its own, and by it names what it asks for.
        key: args.iter().map(|(_, value)| *value).collect::<Vec<_>>().join("/"),
        attempt: 1,
        node: None,
        args: args.iter().map(|(name, text)| (name.to_string(), minor(name, text))).collect(),
        secrets: Arc::new(engine::secret::Secrets::closed()),
        long: false,
        gives: false,
        folder: Path::new(".").into(),
    }
}

async fn service(world: &Shared) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(eks::serve(world.clone(), listener));
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_aws_upgrades_a_cluster_by_these_verbs() {
    let Some(aws) = aws() else { return };
    let cluster = cluster("0+1@v1.33.4-eks");
    let world = &cluster.world;
    let machine = Machine { aws, url: service(world).await };
    let cx = |more: &[(&str, &str)]| {
        let args: Vec<(&str, &str)> =
            [("cluster", "sim"), ("to", "v1.34")].iter().chain(more).copied().collect();
        context(machine.clone(), &args)
    };
    assert_eq!(
        perform(world, &cx(&[]), "check eks", false).await.unwrap(),
        "EKS cluster sim is ACTIVE with v1.33"
    );
    let early = perform(world, &cx(&[("group", "w")]), "eks upgrade node group", false).await.unwrap_err();
    assert!(early.output.contains("InvalidParameterException"), "{early:?}");
    assert_eq!(perform(world, &cx(&[]), "eks upgrade control plane", true).await.unwrap(), "upgraded");
    assert_eq!(perform(world, &cx(&[]), "eks upgrade control plane", false).await.unwrap(), "it is 1.34");
    assert_eq!(
        perform(world, &cx(&[("addon", "coredns")]), "eks upgrade addon", false).await.unwrap(),
        "upgraded"
    );
    assert_eq!(
        perform(world, &cx(&[("group", "w")]), "eks upgrade node group", false).await.unwrap(),
        "upgraded"
    );
    let nobody = context(machine.clone(), &[("cluster", "other"), ("to", "v1.34")]);
    let failure = perform(world, &nobody, "eks upgrade control plane", false).await.unwrap_err();
    assert!(failure.message.contains("no such thing"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_command_says_what_the_real_one_says() {
    let Some(aws) = aws() else { return };
    let cluster = cluster("0+1@v1.33.4-eks");
    let real = Machine { aws, url: service(&cluster.world).await };
    let simulated = cluster.ports().shells;
    for line in [
        "aws eks describe-cluster --name sim --output json",
        "aws eks describe-cluster --name other --output json",
        "aws eks describe-nodegroup --cluster-name sim --nodegroup-name w --output json",
        "aws eks describe-addon-versions --addon-name coredns --kubernetes-version 1.34 --output json",
        "aws eks update-cluster-version --name sim --kubernetes-version 1.36 --output json",
        "aws eks list-updates --name sim --output json",
    ] {
        let command = Command::read(line.split(' '));
        let (one, other) = (real.run(&command).await.unwrap(), simulated.here().run(&command).await.unwrap());
        assert_eq!(one.code == 0, other.code == 0, "{line}: {one:?} {other:?}");
        assert_eq!(one.stderr.trim(), other.stderr.trim(), "{line}");
        let json = |text: &str| serde_json::from_str::<Json>(text).ok().map(|value| shape_of(&value));
        assert_eq!(json(&one.stdout), json(&other.stdout), "{line}");
    }
}

/// Returns names and types without values.
fn shape_of(value: &Json) -> Json {
    match value {
        Json::Object(map) => map.iter().map(|(key, value)| (key.clone(), shape_of(value))).collect(),
        Json::Array(items) => items.iter().map(shape_of).collect(),
        Json::String(_) => json!("text"),
        Json::Number(_) => json!(0),
        plain => plain.clone(),
    }
}
