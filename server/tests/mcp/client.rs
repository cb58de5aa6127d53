//! A client that speaks plain JSON-RPC lines.

use std::{sync::Arc, time::Duration};

use naosu_server::mcp;
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};
use tokio_util::sync::CancellationToken;

use super::product::Scripted;

/// Longer than anything here takes; a hang is a failure.
const LIMIT: Duration = Duration::from_secs(20);

pub struct Client {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    output: WriteHalf<DuplexStream>,
    next_id: u64,
    notifications: Vec<Value>,
    instructions: String,
}

impl Client {
    /// Starts a server on a pipe and initialises a session with it.
    pub async fn start(product: Scripted) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (input, output) = tokio::io::split(theirs);
        tokio::spawn(async move {
            mcp::serve(
                Arc::new(product),
                "alice",
                CancellationToken::new(),
                input,
                output,
            )
            .await
        });
        let (reader, writer) = tokio::io::split(ours);
        let mut client = Self {
            lines: BufReader::new(reader).lines(),
            output: writer,
            next_id: 0,
            notifications: Vec::new(),
            instructions: String::new(),
        };
        let answer = client
            .request(
                "initialize",
                json!({
                    "protocolVersion": "2025-06-18",
                    "capabilities": {},
                    "clientInfo": { "name": "test", "version": "1" },
                }),
            )
            .await;
        assert_eq!(answer["result"]["serverInfo"]["name"], "naosu");
        let told = answer["result"]["instructions"].as_str().unwrap();
        assert!(told.contains("cannot approve"));
        client.instructions = told.to_owned();
        client
            .send(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await;
        client
    }

    async fn send(&mut self, message: Value) {
        let line = format!("{message}\n");
        self.output.write_all(line.as_bytes()).await.unwrap();
        self.output.flush().await.unwrap();
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(LIMIT, self.lines.next_line()).await;
        line.expect("an answer in time")
            .unwrap()
            .expect("an open session")
    }

    /// The raw line that answers a request.
    async fn raw_request(&mut self, method: &str, params: Value) -> String {
        self.next_id += 1;
        let id = self.next_id;
        self.send(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
            .await;
        loop {
            let line = self.line().await;
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == id {
                return line;
            }
            self.notifications.push(message);
        }
    }

    /// The answer to a request.
    pub async fn request(&mut self, method: &str, params: Value) -> Value {
        serde_json::from_str(&self.raw_request(method, params).await).unwrap()
    }

    /// The raw line that answers a tool call.
    pub async fn raw_call(&mut self, tool: &str, arguments: Value) -> String {
        self.raw_request(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
        .await
    }

    /// The result of a tool call.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer: Value = serde_json::from_str(&self.raw_call(tool, arguments).await).unwrap();
        assert!(answer.get("error").is_none(), "{tool}: {answer}");
        answer["result"].clone()
    }

    /// Waits until this many notifications have come.
    pub async fn until_notified(&mut self, count: usize) {
        while self.notifications.len() < count {
            let line = self.line().await;
            self.notifications
                .push(serde_json::from_str(&line).unwrap());
        }
    }

    /// What the server told at the beginning.
    pub fn instructions(&self) -> &str {
        &self.instructions
    }

    /// What the server said unasked.
    pub fn notifications(&self) -> &[Value] {
        &self.notifications
    }
}
