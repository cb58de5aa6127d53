//! A thread in its own network, mount and host-name namespaces, which does what it is sent.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{gettid, sethostname};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Why something could not be done in a machine.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The kernel refused.
    #[error("machine_failed: {machine}: {action}: {source}")]
    Failed {
        /// The machine.
        machine: String,
        /// What was being done.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A tool refused.
    #[error("machine_tool_failed: {machine}: {tool}: {message}")]
    Tool {
        /// The machine.
        machine: String,
        /// The tool with its arguments.
        tool: String,
        /// What it said.
        message: String,
    },
    /// Its thread has ended.
    #[error("machine_gone: {0} has been taken down")]
    Gone(String),
}

/// A machine of the lab.
#[derive(Debug)]
pub struct Machine {
    name: String,
    jobs: mpsc::Sender<Job>,
    thread_id: i32,
    network: OwnedFd,
}

impl Machine {
    /// Starts a machine, runs `prepare` in it and waits for that.
    ///
    /// # Errors
    /// The kernel forbids namespaces, or `prepare` failed.
    pub fn start(
        name: &str,
        prepare: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> Result<Self, MachineError> {
        let failed = |action, source| MachineError::Failed {
            machine: name.to_owned(),
            action,
            source,
        };
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, is_ready) = mpsc::channel();
        let host_name = name.to_owned();
        let body = move || {
            let entered = enter(&host_name).and_then(|()| prepare());
            let entered = entered.and_then(|()| {
                let network = std::fs::File::open("/proc/thread-self/ns/net")?;
                Ok((gettid().as_raw(), OwnedFd::from(network)))
            });
            let alive = entered.is_ok();
            if ready.send(entered).is_ok() && alive {
                while let Ok(job) = inbox.recv() {
                    job();
                }
            }
        };
        thread::Builder::new()
            .name(format!("lab-{name}").chars().take(15).collect())
            .spawn(body)
            .map_err(|source| failed("starting its thread", source))?;
        let (thread_id, network) = is_ready
            .recv()
            .map_err(|_| MachineError::Gone(name.to_owned()))?
            .map_err(|source| failed("entering namespaces", source))?;
        Ok(Self {
            name: name.to_owned(),
            jobs,
            thread_id,
            network,
        })
    }

    /// Name of the machine.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The thread that lives in the machine's namespaces: `nsenter -t` takes it.
    pub fn thread_id(&self) -> i32 {
        self.thread_id
    }

    /// The machine's network namespace.
    pub fn network(&self) -> &OwnedFd {
        &self.network
    }

    /// Runs something short in the machine's namespaces.
    ///
    /// # Errors
    /// The machine is gone.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, MachineError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || {
            let _ = answer.send(job());
        });
        let gone = || MachineError::Gone(self.name.clone());
        self.jobs.send(job).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }

    /// Runs something that can fail in the machine's namespaces.
    ///
    /// # Errors
    /// Its failure, or that the machine is gone.
    pub async fn attempt<T: Send + 'static>(
        &self,
        action: &'static str,
        job: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, MachineError> {
        let runtime = tokio::runtime::Handle::current();
        let in_runtime = move || {
            let _guard = runtime.enter();
            job()
        };
        self.run(in_runtime)
            .await?
            .map_err(|source| MachineError::Failed {
                machine: self.name.clone(),
                action,
                source,
            })
    }

    /// A TCP socket of the machine, to connect from it.
    ///
    /// # Errors
    /// The kernel refused, or the machine is gone.
    pub async fn tcp_socket(&self) -> Result<TcpSocket, MachineError> {
        self.attempt("making a socket", TcpSocket::new_v4).await
    }

    /// Listens on a TCP address of the machine.
    ///
    /// # Errors
    /// The address is taken or not the machine's, or the machine is gone.
    pub async fn listen(&self, address: SocketAddr) -> Result<TcpListener, MachineError> {
        self.attempt("listening", move || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(128)
        })
        .await
    }

    /// A UDP socket of the machine.
    ///
    /// # Errors
    /// As [`Machine::listen`].
    pub async fn udp_socket(
        &self,
        address: SocketAddr,
    ) -> Result<std::net::UdpSocket, MachineError> {
        self.attempt("binding UDP", move || std::net::UdpSocket::bind(address))
            .await
    }
}

fn enter(host_name: &str) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )?;
    sethostname(host_name)?;
    super::private_files::tmpfs("/run")
}
