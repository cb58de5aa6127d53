//! The command line.

mod flow;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, builder::styling};

pub use flow::{
    AccessArg, AdminRulesArg, BetweenArgs, DeltaArgs, DirectionArg, ExplainArgs, FlowCommand,
    KnownNetwork, KnownNode, PacketArgs, PlaceArgs, RulesetKind, SourceArgs,
};

use super::exit;

const STYLES: styling::Styles = styling::Styles::styled()
    .header(styling::AnsiColor::Green.on_default().bold())
    .usage(styling::AnsiColor::Green.on_default().bold())
    .literal(styling::AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  naosu diagnose \"$(az aks show -g rg -n aks --query id -o tsv)\" \\
    --symptom 'dial tcp 10.224.0.5:10250: i/o timeout'
  naosu plan create dia-...
  naosu plan show plan-...
  naosu plan approve plan-... --digest sha256:...
  naosu apply plan-...
  naosu run rollback run-...

";

/// Mends clusters whose control plane can no longer reach its nodes.
///
/// naosu finds the cause, shows exactly what a fix would change, waits for a
/// person, applies it, proves that it worked, or takes it back.
#[derive(Debug, Parser)]
#[command(name = "naosu", version, styles = STYLES, max_term_width = 80, after_help = exit::HELP)]
#[command(after_long_help = format!("{EXAMPLES}{}", exit::HELP))]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file [default: NAOSU_CONFIG, ~/.config/naosu/naosu.toml,
    /// /etc/naosu/naosu.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Server to talk to; "" runs the engine in this process.
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Any setting of the configuration, such as log.level=info.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    pub settings: Vec<(String, String)>,
    /// Form of the result on standard output.
    #[arg(long, short, global = true, value_enum, default_value_t)]
    pub output: Output,
    /// Show no progress.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// Form of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people, 80 columns wide.
    #[default]
    Text,
    /// One JSON document, for programs.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at a cluster: which causes are at work, which are ruled out, and why.
    #[command(after_long_help = "\
Changes nothing. The diagnosis is stored; plans are made from it.

Examples:
  naosu diagnose /subscriptions/<id>/resourceGroups/rg/providers/\\
Microsoft.ContainerService/managedClusters/aks
  naosu diagnose <id> --symptom 'error dialing backend: EOF' --node aks-np-1")]
    Diagnose(Diagnose),
    /// Read stored diagnoses.
    #[command(subcommand)]
    Diagnosis(DiagnosisCommand),
    /// Make plans, read them, decide on them.
    #[command(subcommand)]
    Plan(PlanCommand),
    /// Execute an approved plan and watch it to the end.
    #[command(after_long_help = "\
Interrupted (Ctrl-C), the effect in flight is finished and journaled. With a
server the run goes on there. Without one `naosu run watch` goes on with it to
its end; any other command with the same store goes on with it only while that
command lasts.

Examples:
  naosu apply plan-...
  naosu apply plan-... --detach --output json")]
    Apply(Apply),
    /// Read runs, watch them, take them back.
    #[command(subcommand)]
    Run(RunCommand),
    /// See which plugins are loaded.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Serve the gRPC API naosu.v1.
    #[command(after_long_help = "\
Listens where `listen.unix` and `listen.tcp` say. SIGTERM or Ctrl-C finishes the
effect in flight, journals it and ends; runs go on at the next start.

Example:
  naosu serve --set listen.unix=/run/naosu/naosu.sock")]
    Serve,
    /// Serve an AI assistant over MCP on standard input and output.
    #[command(after_long_help = "\
The assistant can diagnose, plan, explain, apply what is approved and roll back.
It cannot approve: there is no such tool.

Example, in the configuration of an MCP client:
  { \"command\": \"naosu\", \"args\": [\"mcp\"] }")]
    Mcp,
    /// Check the configuration, or print a documented example.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Answer from files alone what firewall rules do with packets.
    #[command(subcommand)]
    Flow(FlowCommand),
    /// Print completions for a shell.
    #[command(after_long_help = "\
Example:
  naosu completion bash > /etc/bash_completion.d/naosu")]
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// What to look at.
#[derive(Debug, Args)]
pub struct Diagnose {
    /// ARM resource id of the managed cluster.
    pub cluster: String,
    /// The error as it was seen.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub symptom: String,
    /// Name or address of a node concerned; may be repeated.
    #[arg(long = "node", value_name = "NODE")]
    pub nodes: Vec<String>,
    /// Only this plugin; may be repeated.
    #[arg(long = "plugin", value_name = "ID")]
    pub plugins: Vec<String>,
}

/// Stored diagnoses.
#[derive(Debug, Subcommand)]
pub enum DiagnosisCommand {
    /// Show one.
    Show {
        /// Its id.
        id: String,
    },
    /// List them, newest first.
    List(OfCluster),
}

/// Of which cluster.
#[derive(Debug, Args)]
pub struct OfCluster {
    /// Only of this cluster, by ARM resource id.
    #[arg(long, value_name = "ID")]
    pub cluster: Option<String>,
}

/// Plans.
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Make a plan of a finding.
    #[command(after_long_help = "\
Examples:
  naosu plan create dia-...
  naosu plan create dia-... --plugin nsg-allow-port --param port=10250")]
    Create {
        /// Id of the diagnosis.
        diagnosis: String,
        /// Plugin whose finding to mend, confirmed or suspected [default: the
        /// first confirmed finding that has a feasible fix]
        #[arg(long, value_name = "ID")]
        plugin: Option<String>,
        /// Parameter of the fix, as NAME=VALUE; a JSON value, else text.
        #[arg(long = "param", value_name = "NAME=VALUE", value_parser = key_value)]
        parameters: Vec<(String, String)>,
        /// Leave nothing out of long lists of packets and changes.
        #[arg(long)]
        full: bool,
    },
    /// Show everything that an approver must know.
    Show {
        /// Its id.
        id: String,
        /// Leave nothing out of long lists of packets and changes.
        #[arg(long)]
        full: bool,
    },
    /// List plans, newest first.
    List {
        /// Of which cluster.
        #[command(flatten)]
        of: OfCluster,
        /// Only in this state.
        #[arg(long, value_enum)]
        state: Option<PlanStateArg>,
    },
    /// Approve exactly the plan with this digest.
    #[command(after_long_help = "\
The digest binds the approval to what was shown. Without --digest the plan is
shown and, on a terminal, its first twelve digits are asked for.

Example:
  naosu plan approve plan-... --digest sha256:... --comment 'seen, agreed'")]
    Approve(Decide),
    /// Reject a plan, for good.
    Reject(Decide),
}

/// A decision on a plan.
#[derive(Debug, Args)]
pub struct Decide {
    /// Id of the plan.
    pub id: String,
    /// Its whole digest, as `naosu plan show` prints it, with "sha256:" or without.
    #[arg(long)]
    pub digest: Option<String>,
    /// Why.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub comment: String,
}

/// States of a plan.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[allow(missing_docs)]
pub enum PlanStateArg {
    PendingApproval,
    Approved,
    Rejected,
    Expired,
}

/// What to execute.
#[derive(Debug, Args)]
pub struct Apply {
    /// Id of the approved plan.
    pub plan: String,
    /// Do not wait for the end (only with a server).
    #[arg(long)]
    pub detach: bool,
}

/// Runs.
#[derive(Debug, Subcommand)]
pub enum RunCommand {
    /// Show one with its journal.
    Show {
        /// Its id.
        id: String,
    },
    /// List runs, newest first.
    List(OfCluster),
    /// Watch a run to its end.
    Watch {
        /// Its id.
        id: String,
    },
    /// Take back a run that succeeded or is stuck, and watch it to the end.
    Rollback {
        /// Its id.
        id: String,
        /// Do not wait for the end (only with a server).
        #[arg(long)]
        detach: bool,
    },
}

/// Plugins.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// List the loaded plugins.
    List,
    /// Show all of one plugin: rights, effects, parameters, imports, digest.
    Inspect {
        /// Its id.
        id: String,
    },
}

/// The configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the whole of it and report every problem.
    Check,
    /// Print an example with every setting, its meaning and its default.
    Example,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_argument_is_explained() {
        fn explained(command: &clap::Command) {
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    argument
                );
            }
            for inner in command.get_subcommands() {
                assert!(inner.get_about().is_some(), "{}", inner.get_name());
                explained(inner);
            }
        }
        let command = Cli::command();
        command.clone().debug_assert();
        explained(&command);
    }

    /// Command lines in the help of a command and of those below it.
    fn examples(command: &clap::Command, found: &mut Vec<String>) {
        let help = command.get_after_long_help();
        let help = help.map(ToString::to_string).unwrap_or_default();
        let mut lines = help.lines();
        while let Some(line) = lines.next() {
            let Some(example) = line.strip_prefix("  naosu ") else {
                continue;
            };
            let mut example = format!("naosu {example}");
            while let Some(begun) = example.strip_suffix('\\') {
                example = format!("{begun}{}", lines.next().unwrap_or_default());
            }
            found.push(example);
        }
        for inner in command.get_subcommands() {
            examples(inner, found);
        }
    }

    #[test]
    fn every_example_of_the_help_is_a_correct_command_line() {
        let mut found = Vec::new();
        examples(&Cli::command(), &mut found);
        assert!(found.len() > 10, "{found:?}");
        for example in found {
            // As a shell reads it, but nothing is run, and nothing written.
            let line = example.replace(['<', '>'], "");
            let script =
                format!("az() {{ echo id; }}; naosu() {{ printf '%s\\0' \"$@\"; }}; {line}");
            let output = std::process::Command::new("bash")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert!(output.status.success(), "{example}: {output:?}");
            let words = String::from_utf8(output.stdout).unwrap();
            let words = words.split_terminator('\0');
            // What a redirection leaves is a word too many.
            let words = words.filter(|word| !word.starts_with("/etc/"));
            let parsed = Cli::try_parse_from(std::iter::once("naosu").chain(words));
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
    }
}
