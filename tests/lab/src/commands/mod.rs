//! The commands of `naosu-lab`.

mod serve;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use naosu_lab::lifecycle::{DataPlaneChoice, default_base, remove_leftovers};
use naosu_lab::{builtin_scenario, builtin_scenario_names};

/// An AKS estate on one machine, with real packets.
#[derive(Debug, Parser)]
#[command(name = "naosu-lab", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Where running labs keep their directories.
    #[arg(long, global = true, env = "NAOSU_LAB_DIRECTORY", default_value_os_t = default_base())]
    directory: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario until interrupted, and print how to point naosu and kubectl at it.
    Serve(ServeArguments),
    /// List the scenarios, each with its kind and the public threads that it stands for.
    List,
    /// Remove what killed labs left; running ones are not touched.
    Cleanup,
}

#[derive(Debug, clap::Args)]
struct ServeArguments {
    /// Name of a scenario that comes with the lab.
    #[arg(long, required_unless_present = "file")]
    scenario: Option<String>,
    /// A scenario file of your own.
    #[arg(long, conflicts_with = "scenario")]
    file: Option<PathBuf>,
    /// Real packets, simulated ones, or real ones where the machine allows them.
    #[arg(long, value_enum, default_value_t = PlaneArgument::Auto)]
    data_plane: PlaneArgument,
    /// Port of the ARM endpoint; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    arm_port: u16,
    /// Port of the Kubernetes API; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    kube_port: u16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PlaneArgument {
    Auto,
    Real,
    Simulated,
}

impl From<PlaneArgument> for DataPlaneChoice {
    fn from(argument: PlaneArgument) -> Self {
        match argument {
            PlaneArgument::Auto => Self::Auto,
            PlaneArgument::Real => Self::Real,
            PlaneArgument::Simulated => Self::Simulated,
        }
    }
}

/// Runs the command of a command line.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let directory = arguments.directory;
    match arguments.command {
        Command::Serve(arguments) => serve::serve(arguments, directory),
        Command::List => list(),
        Command::Cleanup => {
            cleanup(&directory);
            Ok(())
        }
    }
}

fn list() -> anyhow::Result<()> {
    let names = builtin_scenario_names();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    for name in names {
        let scenario = builtin_scenario(name)?;
        let kind = scenario.kind;
        writeln!(out, "{name:width$}  {kind:11}  {}", scenario.title)?;
        for case in &scenario.cases {
            writeln!(out, "{:width$}  {:11}  {}", "", "", case.link())?;
        }
    }
    Ok(())
}

fn cleanup(directory: &Path) {
    let removed = remove_leftovers(directory);
    let labs = removed.labs.len();
    let processes = removed.processes;
    println!("removed what {labs} killed labs left, and ended {processes} of their processes");
}
