//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::exit::Exit;
use crate::printable::shell_word;

/// The cluster that `--sim` simulates when it is given without a shape.
pub(crate) const DEFAULT_SHAPE: &str = "3+5@v1.33.4";

/// Upgrades Kubernetes clusters from a playbook.
#[derive(Debug, Parser)]
#[command(name = "kup", version, about, after_help = Exit::table(), max_term_width = 100)]
pub(crate) struct Args {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// When to colour the output; auto is on a terminal, unless NO_COLOR says otherwise.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
    /// One line an event; the default where stdout is no terminal.
    #[arg(long, global = true)]
    pub(crate) plain: bool,
    /// One JSON object a line; docs/json.md has the schema.
    #[arg(long, global = true, conflicts_with = "plain")]
    pub(crate) json: bool,
    /// Only results and errors.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// The kubeconfig; else $KUBECONFIG, else ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; else its current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The configuration for ssh; else your own.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ssh_config: Option<PathBuf>,
    /// Where runs are kept; else $KUP_STATE_DIR, else $XDG_STATE_HOME/kup, else ~/.local/state/kup.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

impl Global {
    /// Returns the options that decide what a command works on, to be given to the next one too.
    pub(crate) fn again(&self) -> String {
        let paths = [
            ("--kubeconfig", &self.kubeconfig),
            ("--ssh-config", &self.ssh_config),
            ("--state-dir", &self.state_dir),
        ];
        let paths = paths.map(|(name, path)| (name, path.as_ref().map(|p| p.to_string_lossy().into_owned())));
        let given = paths.into_iter().chain([("--context", self.context.clone())]);
        given.filter_map(|(name, word)| Some(format!(" {name} {}", shell_word(&word?)))).collect()
    }
}

/// When to colour the output. No comments on the members: clap would print them at length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// What a check does not let pass. No comments on the members: clap would print them at length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Deny {
    Warnings,
}

/// Who else reads the findings of a check. No comments on the members: clap would print them at length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Github,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Writes a first playbook, to begin with; never over a file.
    New {
        /// Where to.
        #[arg(default_value = "playbook.kup")]
        file: PathBuf,
    },
    /// Reads playbooks and says what is wrong with them; touches no cluster.
    Check {
        /// The playbooks.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// A folder with libraries: `use lib/x` is its `lib/x.kup`. May be given many times.
        #[arg(long, value_name = "DIR")]
        path: Vec<PathBuf>,
        /// Counts warnings as errors.
        #[arg(long, value_enum, value_name = "WHAT")]
        deny: Option<Deny>,
        /// Puts right what can be put right in one way only, and says what it changed.
        #[arg(long)]
        fix: bool,
        /// Prints findings for a CI that shows them beside the lines they are about.
        #[arg(long, value_enum, value_name = "CI", conflicts_with = "json")]
        output: Option<Output>,
    },
    /// Writes playbooks in the one style: indent, blanks, comments; never their meaning.
    Fmt {
        /// The playbooks, or folders of them; `-` is stdin to stdout.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Change nothing; name the files that would change, show how, and leave with 2.
        #[arg(long)]
        check: bool,
    },
    /// Runs the tests of playbooks, each on a simulated cluster; leaves with 2 if one fails.
    Test {
        /// The files, or folders of them; else the folder where you are.
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// A folder with libraries: `use lib/x` is its `lib/x.kup`. May be given many times.
        #[arg(long, value_name = "DIR")]
        path: Vec<PathBuf>,
        /// Writes the plans that came in the place of those that were expected.
        #[arg(long)]
        update: bool,
    },
    /// Shows what a run would do; only reads.
    Plan(Target),
    /// Runs a playbook.
    Run {
        /// What to run it on.
        #[command(flatten)]
        target: Target,
        /// Do not ask before beginning.
        #[arg(long, short)]
        yes: bool,
        /// Run only if the plan still has this hash, as `kup plan` printed it.
        #[arg(long, value_name = "HASH")]
        plan: Option<String>,
    },
    /// Goes on with a run that was paused or that died.
    Resume {
        /// The run; else the last one that is not over.
        run: Option<String>,
        /// Why; it stands in the journal and the report.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        /// Do not ask before beginning.
        #[arg(long, short)]
        yes: bool,
    },
    /// Takes back what a run did, in reverse order.
    Rollback {
        /// The run; else the last one that was not taken back.
        run: Option<String>,
        /// Why; it stands in the journal and the report.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        /// Do not ask before beginning.
        #[arg(long, short)]
        yes: bool,
    },
    /// Says yes to what a run asks, and goes on with it.
    Approve {
        /// The run; else the last one that is not over, and then it is asked once more.
        run: Option<String>,
        /// Why; it stands in the journal and the report.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
    /// Begins nothing new in a run that goes on, and holds it when what runs has ended.
    Pause {
        /// The run; else the last one that is not over.
        run: Option<String>,
        /// Why; it stands in the journal and the report.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
    /// Ends a run for good: what runs may end, nothing is taken back.
    Abort {
        /// The run; else the last one that is not over.
        run: Option<String>,
        /// Why; it stands in the journal and the report.
        #[arg(long, value_name = "TEXT")]
        why: String,
        /// Do not ask before.
        #[arg(long, short)]
        yes: bool,
    },
    /// Leaves one step out of a run.
    Skip {
        /// The step's key, or the end of it: `workers/w1/drain`.
        step: String,
        /// The run; else the last one that is not over.
        run: Option<String>,
        /// Why; it stands in the journal and the report.
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
    /// Tries one step again now; a run that holds goes on with it, and leaves other failed steps as they are.
    Retry {
        /// The step's key, or the end of it: `workers/w1/drain`.
        step: String,
        /// The run; else the last one that is not over.
        run: Option<String>,
        /// Why; it stands in the journal and the report.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
    /// Goes on here with a run whose machine is lost: takes over its lock when that has expired.
    Takeover {
        /// The run; else the last one that is not over.
        run: Option<String>,
        /// Take the lock at once, and why: whoever has it must not be at work any more.
        #[arg(long, value_name = "WHY")]
        force: Option<String>,
        /// Do not ask before beginning.
        #[arg(long, short)]
        yes: bool,
    },
    /// Says how far a run is, what it waits for, and what to do next.
    Status {
        /// The run; else the last one.
        run: Option<String>,
    },
    /// Says why a run or a node of it does not go on: what waits or failed, and what stands behind it.
    Why {
        /// A run, else the last one; a node, else all that waits: `kup why`, `kup why w2`, `kup why RUN w2`.
        #[arg(value_name = "RUN NODE", num_args = 0..=2)]
        words: Vec<String>,
    },
    /// Writes a run as one page of HTML to stdout: what happened and when, a timeline by node, waits, hashes.
    Report {
        /// The run; else the last one.
        run: Option<String>,
    },
    /// Replays a run from its journal.
    Show {
        /// The run.
        run: String,
    },
    /// Lists the runs, newest last; or keeps fewer of them, or carries one to another machine.
    Runs {
        /// What to do with them; else they are listed.
        #[command(subcommand)]
        keep: Option<Keep>,
    },
    /// Prints what a verb takes and does; without words, all verbs and shipped playbooks.
    Doc {
        /// The verb's words, e.g. `kubeadm upgrade apply`; a module, e.g. `std/kubeadm`; or a playbook,
        /// e.g. `std/kubeadm-minor`.
        words: Vec<String>,
        /// Prints the text of the module.
        #[arg(long)]
        source: bool,
        /// Writes language, verbs, playbooks and findings as pages into a folder.
        #[arg(long, value_name = "DIR", conflicts_with_all = ["words", "source", "json"])]
        site: Option<PathBuf>,
    },
    /// Prints the rights that a playbook needs, in the cluster and on the nodes.
    Rbac {
        /// The playbook.
        file: PathBuf,
        /// A folder with libraries: `use lib/x` is its `lib/x.kup`. May be given many times.
        #[arg(long, value_name = "DIR")]
        path: Vec<PathBuf>,
        /// Who is to have them, as the cluster and the nodes know him.
        #[arg(long, default_value = "kup")]
        user: String,
    },
    /// Explains a finding of a check, with an example; without a code, lists all.
    Explain {
        /// The code that stands beside the finding, e.g. K0203.
        code: Option<String>,
    },
    /// Speaks the Language Server Protocol with an editor, over stdin and stdout.
    Lsp {
        /// What some editors say of themselves; there is no other way.
        #[arg(long, hide = true)]
        stdio: bool,
    },
}

/// What to do with runs.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Keep {
    /// Removes the oldest runs that are over; those that could go on always stay.
    Prune {
        /// So many that are over stay.
        #[arg(long, value_name = "NUMBER", default_value_t = 20)]
        keep: usize,
    },
    /// Writes a run into one file, for another machine to take over.
    Pack {
        /// The run.
        run: String,
        /// Where to; never over a file.
        file: PathBuf,
    },
    /// Puts a packed run beside the others.
    Unpack {
        /// What `kup runs pack` wrote.
        file: PathBuf,
    },
}

/// What a playbook is planned for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// The playbook: a file, or one that kup ships, e.g. `std/kubeadm-minor`.
    #[arg(value_name = "FILE", required_unless_present = "sim")]
    pub(crate) file: Option<PathBuf>,
    /// Sets a parameter of the playbook; may be given many times.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Sets a parameter to the text of a file; may be given many times.
    #[arg(long, value_name = "NAME=FILE")]
    pub(crate) set_file: Vec<String>,
    /// A TOML file with values of parameters; `--set` and $KUP_PARAM_name are stronger.
    #[arg(long, value_name = "FILE")]
    pub(crate) values: Option<PathBuf>,
    /// A folder with libraries: `use lib/x` is its `lib/x.kup`. May be given many times.
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Vec<PathBuf>,
    /// How to reach the nodes (name, ssh name, roles); alone, it stands for a cluster.
    #[arg(long, value_name = "FILE", conflicts_with = "sim")]
    pub(crate) hosts: Option<PathBuf>,
    /// Uses the hosts alone, also where there is a kubeconfig: when no apiserver answers.
    #[arg(long, requires = "hosts")]
    pub(crate) no_cluster: bool,
    /// Leaves a worker out: nobody asks or touches it, as one that ssh cannot reach; may be given many times.
    #[arg(long, value_name = "NODE")]
    pub(crate) without: Vec<String>,
    /// On a simulated cluster, in virtual time: CONTROL_PLANES+WORKERS@VERSION, or a .toml file.
    #[arg(long, value_name = "SHAPE", num_args = 0..=1, default_missing_value = DEFAULT_SHAPE)]
    pub(crate) sim: Option<String>,
    /// A fault of the simulated cluster, e.g. F26@w2; may be given many times.
    #[arg(long, value_name = "FAULT@NODE", requires = "sim")]
    pub(crate) fault: Vec<String>,
    /// What the simulation's chances are drawn from.
    #[arg(long, value_name = "NUMBER", requires = "sim", default_value_t = 0)]
    pub(crate) seed: u64,
}

impl Target {
    /// Reads `--sim FILE.kup`, where the playbook stands in the place of the shape, as it is meant.
    pub(crate) fn mended(mut self) -> Target {
        if self.file.is_none() && self.sim.as_ref().is_some_and(|s| s.ends_with(".kup")) {
            self.file = self.sim.replace(DEFAULT_SHAPE.to_string()).map(PathBuf::from);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_playbook_behind_sim_is_the_playbook() {
        let args = Args::try_parse_from(["kup", "plan", "--sim", "a.kup"]).unwrap();
        let Command::Plan(target) = args.command else { panic!("not plan") };
        let target = target.mended();
        assert_eq!(target.file.as_deref(), Some(std::path::Path::new("a.kup")));
        assert_eq!(target.sim.as_deref(), Some(DEFAULT_SHAPE));
    }
}
