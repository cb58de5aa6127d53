//! Every face of the product at one lab, and a plan's way through each.
#![allow(dead_code, reason = "each test binary uses a part")]

use naosu_lab::{Lab, LabOptions, builtin_scenario, lifecycle::DataPlaneChoice};
use naosu_tests::{
    mending::text,
    product::{Mcp, Naosu, Server},
};
use serde_json::{Value, json};

/// All faces of the product at one lab, each with a store of its own.
pub struct Faces {
    pub lab: Lab,
    pub naosu: Naosu,
    pub server: Server,
    pub mcp: Mcp,
    /// As they were at the start.
    firewalls: Vec<String>,
}

/// Every rule of each node's firewalls; none where packets are simulated.
async fn node_firewalls(lab: &Lab) -> Vec<String> {
    if lab.simulated_because().is_some() {
        return vec![];
    }
    // Without comments, which have the time, and the chains' counters.
    let script =
        "{ for of in iptables iptables-legacy ip6tables ip6tables-legacy; do $of-save; done; \
                  cat /etc/ufw/ufw.conf /etc/ufw/user.rules /etc/ufw/user6.rules; } 2>&1 |
                  sed -e '/^#/d' -e 's/\\[[0-9]*:[0-9]*\\]//'";
    let mut firewalls = vec![];
    for node in lab.scenario().estate.nodes() {
        let plane = lab.data_plane();
        let shown = plane.run_on_node(&node.name, script).await.unwrap();
        firewalls.push(String::from_utf8(shown.stdout).unwrap());
    }
    firewalls
}

impl Faces {
    pub async fn start(environment: &[(&str, &str)]) -> Self {
        // Most of this does not depend on packets.
        Self::start_on(DataPlaneChoice::Simulated, environment).await
    }

    pub async fn start_on(data_plane: DataPlaneChoice, environment: &[(&str, &str)]) -> Self {
        let options = LabOptions {
            data_plane,
            ..LabOptions::default()
        };
        let scenario = builtin_scenario("nsg-deny-10250").unwrap();
        let lab = Lab::start(scenario, options).await.unwrap();
        let mut naosu = Naosu::at(&lab)
            .unwrap()
            .with_environment("NAOSU_AZURE__RETRY__ATTEMPTS", "1")
            .with_environment("NAOSU_AZURE__REQUEST_TIMEOUT_MS", "1500");
        for (name, value) in environment {
            naosu = naosu.with_environment(name, value);
        }
        let server = Server::start(&naosu).await.unwrap();
        let mcp = Mcp::start(&naosu).await.unwrap();
        let firewalls = node_firewalls(&lab).await;
        let faces = Self {
            firewalls,
            lab,
            naosu,
            server,
            mcp,
        };
        faces.forget_requests();
        faces
    }

    /// The codes that the command line, gRPC and MCP give to one question.
    pub async fn codes(
        &mut self,
        arguments: &[&str],
        tool: &str,
        tool_arguments: serde_json::Value,
    ) -> [String; 3] {
        let at_server = [arguments, &["--server", &self.server.address]].concat();
        // Each mostly waits, for what does not answer.
        let (embedded, served, answer) = tokio::join!(
            self.naosu.failure(arguments),
            self.naosu.failure(&at_server),
            self.mcp.call(tool, tool_arguments),
        );
        let ((embedded, _), (served, _)) = (embedded.unwrap(), served.unwrap());
        [embedded, served, text(&answer.unwrap()["code"])]
    }

    /// Nothing was written to Azure or Kubernetes since their requests were
    /// forgotten, nor to a node since the start.
    pub async fn assert_nothing_written(&self) {
        let mut writes = self.lab.arm().requests().writes();
        // How a node is read; whether it was written to, its firewalls tell.
        writes.retain(|request| !request.path.to_ascii_lowercase().ends_with("/runcommand"));
        writes.extend(self.lab.kube().requests().writes());
        assert!(writes.is_empty(), "written: {writes:?}");
        assert_eq!(node_firewalls(&self.lab).await, self.firewalls);
    }

    pub fn forget_requests(&self) {
        self.lab.arm().requests().clear();
        self.lab.kube().requests().clear();
    }
}

pub fn all(code: &str) -> [String; 3] {
    [code.to_owned(), code.to_owned(), code.to_owned()]
}

/// The face that a plan goes through; whoever approves uses the command line.
#[derive(Clone, Copy, Debug)]
pub enum Face {
    Embedded,
    Served,
    Mcp,
}

pub const FACES: [Face; 3] = [Face::Embedded, Face::Served, Face::Mcp];

impl Faces {
    /// Further words of a command line that reach the store of a face.
    pub fn words(&self, face: Face) -> Vec<String> {
        let mcp_store = self.naosu.state().join("mcp.db");
        match face {
            Face::Embedded => vec![],
            Face::Served => vec!["--server".to_owned(), self.server.address.clone()],
            Face::Mcp => vec![
                "--set".to_owned(),
                format!("store.path={}", mcp_store.display()),
            ],
        }
    }

    pub async fn call(&self, face: Face, arguments: &[&str]) -> Value {
        let words = self.words(face);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.naosu
            .json(&[arguments, &words].concat())
            .await
            .unwrap()
    }

    /// What a command prints for programs, whatever its exit code.
    pub async fn answer(&self, face: Face, arguments: &[&str]) -> Value {
        let words = self.words(face);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let all = [arguments, &words, &["--output", "json"]].concat();
        self.naosu.run(&all).await.unwrap().json().unwrap()
    }

    pub async fn fail(&self, face: Face, arguments: &[&str]) -> String {
        let words = self.words(face);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let failed = self.naosu.failure(&[arguments, &words].concat()).await;
        failed.unwrap().0
    }

    /// A new plan: its id and digest.
    pub async fn plan(&mut self, face: Face) -> (String, String) {
        let cluster = self.lab.cluster_id();
        let plan = if let Face::Mcp = face {
            let plugins = json!({ "cluster": cluster, "plugins": ["nsg-allow-port"] });
            let diagnosis = self.mcp.call("diagnose", plugins).await.unwrap();
            let of = json!({ "diagnosis": diagnosis["id"] });
            self.mcp.call("create_plan", of).await.unwrap()["plan"].take()
        } else {
            let diagnose = ["diagnose", &cluster, "--plugin", "nsg-allow-port"];
            let diagnosis = text(&self.call(face, &diagnose).await["id"]);
            self.call(face, &["plan", "create", &diagnosis]).await
        };
        (text(&plan["id"]), text(&plan["digest"]))
    }

    /// Applies a plan to its end: the run, or the code of the refusal.
    pub async fn apply(&mut self, face: Face, plan: &str) -> Result<Value, String> {
        if let Face::Mcp = face {
            let begun = self.mcp.call("apply_plan", json!({ "plan": plan })).await;
            let begun = begun.unwrap();
            if begun["run"].is_null() {
                return Err(text(&begun["code"]));
            }
            let wait = json!({ "run": begun["run"]["id"], "wait_seconds": 60 });
            return Ok(self.mcp.call("get_run", wait).await.unwrap()["run"].take());
        }
        let words = [
            &["apply".to_owned(), plan.to_owned()],
            &self.words(face)[..],
        ]
        .concat();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (code, finished) = self.naosu.failure(&words).await.unwrap();
        if code.is_empty() {
            Ok(finished.json().unwrap())
        } else {
            Err(code)
        }
    }

    pub async fn show_plan(&mut self, face: Face, plan: &str) -> Value {
        if let Face::Mcp = face {
            let answer = self.mcp.call("get_plan", json!({ "plan": plan })).await;
            return answer.unwrap()["plan"].take();
        }
        self.call(face, &["plan", "show", plan]).await
    }
}
