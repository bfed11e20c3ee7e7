//! Measures how long a large playbook takes to parse and check:
//! `cargo run --release -p kup-dsl --example speed -- 10000`. Layers of 100 stages, each after a few of the layer before.

use std::fmt::Write as _;
use std::time::Instant;

use kup_dsl::source::{LoadError, Loader};

struct Text(String);

impl Loader for Text {
    fn load(&self, path: &str) -> Result<String, LoadError> {
        match path {
            "std/run" => Ok(include_str!("../../stdlib/kup/run.kup").to_string()),
            "std/node" => Ok(include_str!("../../stdlib/kup/node.kup").to_string()),
            _ => Ok(self.0.clone()),
        }
    }
}

fn main() {
    let steps: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let mut text = String::from("playbook \"speed\"\n");
    for i in 0..steps {
        let _ = write!(text, "stage s{i} after ");
        match i {
            0..100 => text.truncate(text.len() - "after ".len()),
            _ => {
                let layer = i / 100 * 100 - 100;
                let _ = write!(
                    text,
                    "s{}, s{}, s{} ",
                    layer + i % 100,
                    layer + (i * 7) % 100,
                    layer + (i * 31) % 100
                );
            }
        }
        let _ = writeln!(text, "{{ run command \"printf x > n{i}\" on=local }}");
    }
    let bytes = text.len();
    let loader = Text(text);
    let begun = Instant::now();
    let checked = kup_dsl::check("speed.kup", &loader, &["std/run", "std/node"]);
    let took = begun.elapsed();
    let stages = checked.program.map_or(0, |p| p.stages.len());
    println!("{stages} stages, {bytes} bytes, {} findings: {took:?}", checked.diagnostics.len());
}
