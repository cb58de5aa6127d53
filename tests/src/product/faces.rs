//! One question asked through every face: the command line, gRPC (the command
//! line at a server) and MCP.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
};

use super::{Naosu, ProductError};

/// Longer than any answer takes; a hang is a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// A running `naosu serve` on a Unix socket; killed when dropped.
pub struct Server {
    _process: Child,
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
            .map_err(|reason| ProductError::Io {
                what: "naosu serve".to_owned(),
                reason,
            })?;
        let stderr = process.stderr.take();
        let stderr = stderr.ok_or_else(|| ProductError::Ended("naosu serve".to_owned()))?;
        let mut lines = BufReader::new(stderr).lines();
        let mut said = String::new();
        while let Some(line) = next(&mut lines, "naosu serve").await? {
            if line.starts_with("serving on unix://") {
                // Whatever it says later is nobody's concern, but must not block it.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                let address = format!("unix://{}", socket.display());
                return Ok(Self {
                    _process: process,
                    address,
                });
            }
            said.push_str(&line);
            said.push('\n');
        }
        Err(ProductError::Ended(format!("naosu serve: {said}")))
    }
}

/// A running `naosu mcp`, spoken to in JSON-RPC lines; killed when dropped.
pub struct Mcp {
    _process: Child,
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
            .stderr(Stdio::null())
            .spawn()
            .map_err(|reason| ProductError::Io {
                what: "naosu mcp".to_owned(),
                reason,
            })?;
        let ended = || ProductError::Ended("naosu mcp".to_owned());
        let input = process.stdin.take().ok_or_else(ended)?;
        let output = process.stdout.take().ok_or_else(ended)?;
        let mut mcp = Self {
            _process: process,
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
        let params = json!({ "name": tool, "arguments": arguments });
        let answer = self.request("tools/call", params).await?;
        Ok(answer["result"]["structuredContent"].clone())
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
