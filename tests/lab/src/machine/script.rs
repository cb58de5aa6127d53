//! Scripts run as root in a machine.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::{Machine, MachineError};
use crate::data_plane::ScriptOutput;

/// The environment variable that marks processes of a lab with its id.
pub const OWNER_VARIABLE: &str = "NAOSU_LAB_ID";

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A script that writes more to a file than this ran away; it dies of SIGXFSZ.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Runs a shell script in a machine and waits for it, at most `limit`; then it is killed and its
/// exit code is 137. Processes it leaves behind in its process group are killed too.
///
/// # Errors
/// The shell could not be started.
pub async fn run_script(
    machine: &Machine,
    script: &str,
    environment: Vec<(String, String)>,
    limit: Duration,
) -> Result<ScriptOutput, MachineError> {
    static SCRIPTS: AtomicU64 = AtomicU64::new(0);
    let path = format!("/run/script-{}.sh", SCRIPTS.fetch_add(1, Ordering::Relaxed));
    let text = script.to_owned();
    let file = path.clone();
    let mut running = machine
        .attempt("starting a script", move || {
            std::fs::write(&file, text)?;
            start(&file, environment)
        })
        .await?;
    let failed = |source| MachineError::Failed {
        machine: machine.name().to_owned(),
        action: "running a script",
        source,
    };
    let group = running.shell.id().and_then(|id| i32::try_from(id).ok());
    let ended = tokio::time::timeout(limit, running.shell.wait()).await;
    if let Some(group) = group {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let exit_code = match ended {
        Ok(status) => exit_code(status.map_err(failed)?),
        Err(_) => 137,
    };
    machine.run(move || std::fs::remove_file(path)).await?.ok();
    Ok(ScriptOutput {
        stdout: read_whole(running.stdout).map_err(failed)?,
        stderr: read_whole(running.stderr).map_err(failed)?,
        exit_code,
    })
}

/// Output goes to files in memory, not to pipes: a process the shell leaves behind cannot hold
/// the answer up.
struct Running {
    shell: Child,
    stdout: File,
    stderr: File,
}

fn start(script_file: &str, environment: Vec<(String, String)>) -> io::Result<Running> {
    let stdout = File::from(memfd_create("stdout", MFdFlags::MFD_CLOEXEC)?);
    let stderr = File::from(memfd_create("stderr", MFdFlags::MFD_CLOEXEC)?);
    let mut command = Command::new("/bin/sh");
    command
        .arg(script_file)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/tmp")
        .env("LANG", "C.UTF-8")
        .envs(environment)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::from(stdout.try_clone()?))
        .stderr(Stdio::from(stderr.try_clone()?))
        .process_group(0)
        .kill_on_drop(true);
    // SAFETY: between fork and exec only prctl and setrlimit are called, which are
    // async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            setrlimit(Resource::RLIMIT_FSIZE, MAX_FILE_BYTES, MAX_FILE_BYTES)?;
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            Ok(())
        });
    }
    let shell = command.spawn()?;
    Ok(Running {
        shell,
        stdout,
        stderr,
    })
}

fn read_whole(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}
