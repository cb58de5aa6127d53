//! One question asked through every face: the command line, gRPC (the command
//! line at a server) and MCP.

use std::{process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

use super::{Naosu, ProductError};

/// Longer than any answer takes; a hang is a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// A running `naosu serve` on a Unix socket; killed when dropped.
pub struct Server {
    process: Child,
    said: Said,
    /// What to give to `--server`.
    pub address: String,
}

impl Server {
    /// Starts it with a store of its own and waits until it serves.
    ///
    /// # Errors
    /// When it ends instead; with what it said.
    pub async fn start(naosu: &Naosu) -> Result<Self, ProductError> {
        let socket = naosu.state().join("naosu.sock");
        let setting = format!("listen.unix={}", socket.display());
        let store = format!("store.path={}", naosu.state().join("served.db").display());
        let mut command = naosu.command(&["serve", "--set", &setting, "--set", &store]);
        let mut process = command
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(at("naosu serve"))?;
        let mut said = Said::of(&mut process, "naosu serve")?;
        said.until("serving on unix://").await?;
        Ok(Self {
            process,
            said,
            address: format!("unix://{}", socket.display()),
        })
    }

    /// Waits until it says a line that begins so.
    ///
    /// # Errors
    /// When it ends instead; with what it said.
    pub async fn says(&mut self, beginning: &str) -> Result<(), ProductError> {
        self.said.until(beginning).await
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<(), ProductError> {
        send(&self.process, signal, "naosu serve")
    }

    /// Whether it has not ended.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn runs(&mut self) -> Result<bool, ProductError> {
        let status = self.process.try_wait().map_err(at("naosu serve"))?;
        Ok(status.is_none())
    }

    /// Its exit code when it has ended; none when it died of a signal.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn end(&mut self) -> Result<Option<i32>, ProductError> {
        ended(&mut self.process, "naosu serve").await
    }
}

/// A running `naosu mcp`, spoken to in JSON-RPC lines; killed when dropped.
pub struct Mcp {
    process: Child,
    said: Said,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    next_id: u64,
}

impl Mcp {
    /// Starts it and initialises a session.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn start(naosu: &Naosu) -> Result<Self, ProductError> {
        let store = format!("store.path={}", naosu.state().join("mcp.db").display());
        let mut process = naosu
            .command(&["mcp", "--set", &store])
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(at("naosu mcp"))?;
        let ended = || ProductError::Ended("naosu mcp".to_owned());
        let input = process.stdin.take().ok_or_else(ended)?;
        let output = process.stdout.take().ok_or_else(ended)?;
        let said = Said::of(&mut process, "naosu mcp")?;
        let mut mcp = Self {
            process,
            said,
            input,
            output: BufReader::new(output).lines(),
            next_id: 0,
        };
        let hello = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": { "name": "tests", "version": "1" },
        });
        mcp.request("initialize", hello).await?;
        mcp.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await?;
        Ok(mcp)
    }

    async fn send(&mut self, message: &Value) -> Result<(), ProductError> {
        let line = format!("{message}\n");
        let written = self.input.write_all(line.as_bytes()).await;
        written.map_err(|reason| ProductError::Io {
            what: "naosu mcp".to_owned(),
            reason,
        })
    }

    async fn request(&mut self, method: &str, params: Value) -> Result<Value, ProductError> {
        self.next_id += 1;
        let id = self.next_id;
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(&message).await?;
        while let Some(line) = next(&mut self.output, "naosu mcp").await? {
            let answer: Value =
                serde_json::from_str(&line).map_err(|reason| ProductError::NotJson {
                    command: "naosu mcp".to_owned(),
                    reason,
                    stdout: line,
                })?;
            if answer["id"] == id {
                return Ok(answer);
            }
        }
        Err(ProductError::Ended(format!(
            "naosu mcp, asked for {method}"
        )))
    }

    /// Names of all tools.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn tools(&mut self) -> Result<Vec<String>, ProductError> {
        let answer = self.request("tools/list", json!({})).await?;
        let tools = answer["result"]["tools"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        Ok(tools
            .iter()
            .filter_map(|tool| tool["name"].as_str().map(str::to_owned))
            .collect())
    }

    /// The structured content of a tool's answer, be it a result or an error.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> Result<Value, ProductError> {
        Ok(self.result(tool, arguments).await?["structuredContent"].take())
    }

    /// The whole result of a tool.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn result(&mut self, tool: &str, arguments: Value) -> Result<Value, ProductError> {
        let params = json!({ "name": tool, "arguments": arguments });
        let mut answer = self.request("tools/call", params).await?;
        Ok(answer["result"].take())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<(), ProductError> {
        send(&self.process, signal, "naosu mcp")
    }

    /// Waits until it says a line on standard error that begins so.
    ///
    /// # Errors
    /// When it ends instead; with what it said.
    pub async fn says(&mut self, beginning: &str) -> Result<(), ProductError> {
        self.said.until(beginning).await
    }

    /// Its exit code when it has ended, without its input being closed.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn end(&mut self) -> Result<Option<i32>, ProductError> {
        ended(&mut self.process, "naosu mcp").await
    }
}

/// What a process says on standard error; read always, so that it never blocks.
struct Said {
    what: &'static str,
    lines: UnboundedReceiver<String>,
}

impl Said {
    fn of(process: &mut Child, what: &'static str) -> Result<Self, ProductError> {
        let stderr = process.stderr.take();
        let stderr = stderr.ok_or_else(|| ProductError::Ended(what.to_owned()))?;
        let (sender, lines) = unbounded_channel();
        tokio::spawn(async move {
            let mut read = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = read.next_line().await {
                // Whatever is said when nobody waits any more is nobody's concern.
                let _ = sender.send(line);
            }
        });
        Ok(Self { what, lines })
    }

    async fn until(&mut self, beginning: &str) -> Result<(), ProductError> {
        let mut said = String::new();
        loop {
            match tokio::time::timeout(LIMIT, self.lines.recv()).await {
                Ok(Some(line)) if line.starts_with(beginning) => return Ok(()),
                Ok(Some(line)) => said = said + &line + "\n",
                Ok(None) => return Err(ProductError::Ended(format!("{}: {said}", self.what))),
                Err(_) => return Err(ProductError::Timeout(format!("{}: {said}", self.what))),
            }
        }
    }
}

fn at(what: &'static str) -> impl Fn(std::io::Error) -> ProductError {
    move |reason| ProductError::Io {
        what: what.to_owned(),
        reason,
    }
}

fn send(process: &Child, signal: Signal, what: &'static str) -> Result<(), ProductError> {
    let id = process.id();
    let id = id.ok_or_else(|| ProductError::Ended(what.to_owned()))?;
    kill(Pid::from_raw(id.cast_signed()), signal).map_err(|errno| at(what)(errno.into()))
}

async fn ended(process: &mut Child, what: &'static str) -> Result<Option<i32>, ProductError> {
    match tokio::time::timeout(LIMIT, process.wait()).await {
        Ok(status) => Ok(status.map_err(at(what))?.code()),
        Err(_) => Err(ProductError::Timeout(what.to_owned())),
    }
}

async fn next<R: tokio::io::AsyncBufRead + Unpin>(
    lines: &mut Lines<R>,
    what: &str,
) -> Result<Option<String>, ProductError> {
    match tokio::time::timeout(LIMIT, lines.next_line()).await {
        Ok(line) => line.map_err(|reason| ProductError::Io {
            what: what.to_owned(),
            reason,
        }),
        Err(_) => Err(ProductError::Timeout(what.to_owned())),
    }
}
