//! Records as parameters: written in the playbook, on the command line, in the environment and in a file.

use serde_json::json;

use crate::support::Kup;

const BOOK: &str = r#"playbook "Records"

param registry: { host: string, port: number?, keys: path } = { host: "a.example", keys: "./keys" }
param waves: [{ pool: string, batch: batch }] = [{ pool: "web", batch: 10% }, { pool: "db", batch: [1, 2] }]

stage one {
  each wave in waves {
    run command "echo ${wave.pool} ${wave.batch} ${registry.host} ${registry.keys}" on=local {
      allow undo-or-say-so "it says something"
    }
  }
}
"#;

fn kup() -> Kup {
    Kup::new().with("book.kup", BOOK)
}

#[test]
fn a_record_comes_from_each_source_of_values() {
    let values =
        "[registry]\nhost = \"b.example\"\nport = 1\nkeys = \"k\"\n\n[[waves]]\npool = \"x\"\nbatch = 3\n";
    let kup = kup().with("etc/values.toml", values).with("r.txt", "{ host: d.example, keys: k }\n");
    let given = |kup: &Kup, options: &[&str]| {
        let args = [&["plan", "book.kup", "--sim", "1+1@v1.33.4", "--json"], options].concat();
        let plan = kup.run_args(&args).exits(0).json();
        (plan[0]["params"]["registry"].clone(), plan[0]["params"]["waves"].clone())
    };
    let keys = |path: &str| kup.path(path).display().to_string();
    let default = json!({ "host": "a.example", "port": null, "keys": "./keys" });
    let waves = json!([{ "pool": "web", "batch": "10%" }, { "pool": "db", "batch": "[1, 2]" }]);
    assert_eq!(given(&kup, &[]), (default, waves));
    let (registry, waves) = given(&kup, &["--values", "etc/values.toml"]);
    assert_eq!(registry, json!({ "host": "b.example", "port": 1, "keys": keys("etc/k") }));
    assert_eq!(waves, json!([{ "pool": "x", "batch": "3" }]));
    let (_, waves) = given(&kup, &["--set", "waves=[{ pool: y, batch: [1, 50%] }]"]);
    assert_eq!(waves, json!([{ "pool": "y", "batch": "[1, 50%]" }]));
    assert_eq!(given(&kup, &["--set-file", "registry=r.txt"]).0["host"], "d.example");
    let kup = kup.env("KUP_PARAM_registry", "{ host: \"c.example\", keys: \"/k\", port: 7 }");
    assert_eq!(given(&kup, &[]).0, json!({ "host": "c.example", "port": 7, "keys": "/k" }));
    let ran = kup.run("run book.kup --yes --sim 1+1@v1.33.4").exits(0);
    ran.prints("run command \"echo web 10% c.example /k\"")
        .prints("run command \"echo db [1, 2] c.example /k\"");
}

#[test]
fn a_record_that_is_none_is_taught() {
    let kup = kup().with("bad.toml", "[registry]\nhots = \"x\"\n");
    let plan = |options: &[&str]| {
        kup.run_args(&[&["plan", "book.kup", "--sim", "1+1@v1.33.4"], options].concat()).exits(2)
    };
    plan(&["--set", "registry=a.example"])
        .says("expected a record `{ host: string, port: number?, keys: path }`, found `a.example`")
        .says("for example `--set 'registry={ host: \"some text\", keys: \"./folder\" }'`");
    plan(&["--set", "registry={ host: a, keys: k, port: many }"])
        .says("`registry`: `port`: expected a number");
    plan(&["--set", "registry={ host: a }"]).says("the field `keys` is missing, a path");
    plan(&["--set", "registry.host=a"]).says("a record is given whole: `--set 'registry={ ... }'`");
    plan(&["--values", "bad.toml"]).says("there is no field `hots`; did you mean `host`?");
}
