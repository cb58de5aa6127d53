//! `make demo`: the whole product on the lab, as one would show it to a
//! colleague. Exits with 0 only if everything that it tells was observed.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::Instant,
};

use naosu_lab::{Lab, LabOptions, NodeName, builtin_scenario, scenario::ExpectedFix};
use naosu_tests::{
    mending::{connect_anew, loaded_plugins, text, wrong_judgements},
    product::{Finished, Kubectl, Naosu, ProductError},
};

/// Why the demonstration did not show what it promises.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Product(#[from] ProductError),
    #[error("the lab: {0}")]
    Lab(#[from] naosu_lab::lifecycle::LabError),
    #[error("{0}")]
    Scenario(String),
    #[error("not observed: {0}")]
    NotObserved(String),
}

fn main() -> ExitCode {
    // Before any thread exists: the kernel asks for that.
    if let Err(reason) = naosu_lab::machine::become_root() {
        eprintln!("note: {reason}");
    }
    let scenario = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "nsg-deny-10250".to_owned());
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(reason) => {
            eprintln!("error: no thread can be started: {reason}");
            return ExitCode::FAILURE;
        }
    };
    let begun = Instant::now();
    let shown = runtime.block_on(async {
        tokio::select! {
            shown = show(&scenario) => shown,
            _ = tokio::signal::ctrl_c() => Err(DemoError::NotObserved("interrupted".to_owned())),
        }
    });
    match shown {
        Ok(()) => {
            say(&format!(
                "Done in {:.1} s; all of it was observed.",
                begun.elapsed().as_secs_f64()
            ));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\nerror: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn show(name: &str) -> Result<(), DemoError> {
    let scenario = builtin_scenario(name)
        .map_err(|e| DemoError::Scenario(format!("{e}; `naosu-lab list` has the names")))?;
    say(&format!("The estate: {}", scenario.title));
    println!("{}", scenario.story.trim());
    let lab = Lab::start(scenario, LabOptions::default()).await?;
    match lab.simulated_because() {
        Some(reason) => println!("\nSIMULATED packets: {reason}"),
        None => println!("\nNodes are network namespaces; every packet below is real."),
    }
    let naosu = Naosu::at(&lab)?;
    let demo = Demo {
        kubectl: Kubectl::find(lab.kubeconfig_file()),
        lab: &lab,
        naosu,
    };
    demo.show().await
}

struct Demo<'a> {
    lab: &'a Lab,
    naosu: Naosu,
    kubectl: Option<Kubectl>,
}

impl Demo<'_> {
    async fn show(&self) -> Result<(), DemoError> {
        say("What a user sees");
        let before = self.failing_logs().await?;
        let scenario = self.lab.scenario();
        // A kubelet at fault is reached and gives no logs either.
        let at_fault = scenario.estate.nodes().into_iter();
        let at_fault = at_fault.filter(|node| node.settings.kubelet_fault.is_some());
        let unreachable = scenario.expect.unreachable_nodes.iter().cloned();
        let expected: BTreeSet<NodeName> =
            unreachable.chain(at_fault.map(|node| node.name)).collect();
        if self
            .lab
            .scenario()
            .estate
            .nodes()
            .iter()
            .filter(|n| n.agent)
            .count()
            == 1
        {
            observed(
                "logs fail exactly where the scenario says",
                before == expected,
            )?;
        }

        say("Which cause it is, and which ones not");
        let cluster = self.lab.cluster_id();
        let symptom = self
            .lab
            .scenario()
            .expect
            .symptom
            .clone()
            .unwrap_or_default();
        self.typed(&["diagnose", &cluster, "--symptom", &symptom])
            .await?;
        let id = self.newest("diagnosis").await?;
        let diagnosis = self.naosu.json(&["diagnosis", "show", &id]).await?;
        let loaded = loaded_plugins(&self.naosu).await?;
        let wrong = wrong_judgements(self.lab, &diagnosis, &loaded);
        observed(
            &format!("every cause is judged as it is {}", wrong.join("; ")),
            wrong.is_empty(),
        )?;

        let fixes = &self.lab.scenario().expect.fixes;
        let Some(fix) = fixes.iter().find(|fix| loaded.contains(&fix.plugin)) else {
            say("Nothing here for Naosu to mend");
            return Ok(());
        };
        self.mend(fix, &id, &before, false).await
    }

    async fn mend(
        &self,
        fix: &ExpectedFix,
        diagnosis: &str,
        before: &BTreeSet<NodeName>,
        is_second_try: bool,
    ) -> Result<(), DemoError> {
        say("What would mend it, and what exactly that changes");
        let create = ["plan", "create", diagnosis, "--plugin", &fix.plugin];
        if fix.infeasible.is_some() {
            let finished = self.show_command(&create).await?;
            return observed("the plan is refused", finished.exit_code != 0);
        }
        self.typed(&create).await?;
        let plan = self.newest("plan").await?;
        let shown = self.naosu.json(&["plan", "show", &plan]).await?;
        observed(
            "each change of a firewall shows which packets it opens or closes",
            every_firewall_step_has_its_packets(&shown),
        )?;
        let now = self.failing_logs_quietly().await?;
        observed("nothing has changed yet", self.are_alike(&now, before))?;
        if fix.manual.is_some() {
            say("Every step is a person's: Naosu performs none of it");
            return Ok(());
        }

        say("A person approves exactly this plan");
        let digest = text(&shown["digest"]);
        self.typed(&["plan", "approve", &plan, "--digest", &digest])
            .await?;

        say("It is applied and verified");
        let finished = self.show_command(&["apply", &plan]).await?;
        let run = self.newest("run").await?;
        let state = text(&self.naosu.json(&["run", "show", &run]).await?["state"]);
        if state == "CANCELLED" && !is_second_try {
            say("Someone changed it meanwhile: nothing was written, so we look again");
            let cluster = self.lab.cluster_id().to_string();
            self.typed(&["diagnose", &cluster]).await?;
            let again = self.newest("diagnosis").await?;
            return Box::pin(self.mend(fix, &again, before, true)).await;
        }
        if !fix.mends && state == "SUCCEEDED" {
            say("One of several causes is gone, and taken back for this demonstration");
            if fix.reversible {
                self.take_back(&run).await?;
            }
            let now = self.failing_logs().await?;
            return observed("logs fail as before", self.are_alike(&now, before));
        }
        if !fix.mends {
            observed(
                "it did not mend the tunnel, so it was taken back",
                state == "ROLLED_BACK",
            )?;
            let now = self.failing_logs().await?;
            return observed("all is as before", self.are_alike(&now, before));
        }
        observed(
            "the run succeeded",
            state == "SUCCEEDED" && finished.exit_code == 0,
        )?;
        let left: BTreeSet<NodeName> = fix.leaves.iter().cloned().collect();
        let where_it_mends = if left.is_empty() {
            "logs work on every node"
        } else {
            "logs work on every node but those that no rule mends"
        };
        observed(where_it_mends, self.failing_logs().await? == left)?;

        if !fix.reversible {
            say("It cannot be taken back, as the plan said");
            let refused = self.show_command(&["run", "rollback", &run]).await?;
            observed("the rollback is refused", refused.exit_code != 0)?;
            return observed(
                "logs still work",
                self.failing_logs_quietly().await? == left,
            );
        }

        say("And taken back, because this is a demonstration");
        self.take_back(&run).await?;
        let now = self.failing_logs().await?;
        observed("logs fail as before", self.are_alike(&now, before))
    }

    async fn take_back(&self, run: &str) -> Result<(), DemoError> {
        self.typed(&["run", "rollback", run]).await?;
        if self.lab.scenario().expect.tunnel_down {
            println!("(agents dial anew: an open connection outlives the rule that let it in)");
            connect_anew(self.lab).await?;
        }
        Ok(())
    }

    /// Whether logs fail on the same nodes. Where several agents are connected, each
    /// request goes to any of them, and what fails differs from one to the next.
    fn are_alike(&self, now: &BTreeSet<NodeName>, before: &BTreeSet<NodeName>) -> bool {
        let nodes = self.lab.scenario().estate.nodes();
        let agents = nodes.iter().filter(|node| node.agent).count();
        agents > 1 || now == before
    }

    /// Shows a command as it is typed, and what it prints.
    async fn show_command(&self, arguments: &[&str]) -> Result<Finished, DemoError> {
        let words: Vec<String> = arguments
            .iter()
            .map(|word| {
                if word.contains(' ') {
                    format!("'{word}'")
                } else {
                    (*word).to_owned()
                }
            })
            .collect();
        println!("$ naosu {}\n", words.join(" "));
        let finished = self.naosu.run(arguments).await?;
        print!("{}{}", finished.stdout, finished.stderr);
        Ok(finished)
    }

    async fn typed(&self, arguments: &[&str]) -> Result<(), DemoError> {
        self.show_command(arguments).await?.success()?;
        Ok(())
    }

    /// Id of the newest diagnosis, plan or run.
    async fn newest(&self, noun: &str) -> Result<String, DemoError> {
        let list = self.naosu.json(&[noun, "list"]).await?;
        let id = text(&list[0]["id"]);
        if id.is_empty() {
            return Err(DemoError::NotObserved(format!("a stored {noun}")));
        }
        Ok(id)
    }

    /// Nodes whose pods' logs cannot be read, told to the audience.
    async fn failing_logs(&self) -> Result<BTreeSet<NodeName>, DemoError> {
        self.logs(true).await
    }

    async fn failing_logs_quietly(&self) -> Result<BTreeSet<NodeName>, DemoError> {
        self.logs(false).await
    }

    async fn logs(&self, aloud: bool) -> Result<BTreeSet<NodeName>, DemoError> {
        let Some(kubectl) = &self.kubectl else {
            println!("(no kubectl here; the lab is asked instead)");
            return Ok(naosu_tests::tunnel_truth::unreachable_nodes(self.lab).await);
        };
        let mut failing = BTreeSet::new();
        for (node, (namespace, pod)) in pods_by_node(kubectl).await? {
            let arguments = ["logs", "-n", &namespace, &pod, "--tail=1"];
            let finished = kubectl.run(&arguments).await?;
            let works = finished.exit_code == 0;
            if aloud {
                let said = if works {
                    &finished.stdout
                } else {
                    &finished.stderr
                };
                println!("$ kubectl {}   # on {node}", arguments.join(" "));
                println!("  {}", said.trim());
            }
            if !works {
                failing.insert(NodeName(node));
            }
        }
        Ok(failing)
    }
}

/// Whether Naosu computed the packets of each step that changes a firewall.
fn every_firewall_step_has_its_packets(plan: &serde_json::Value) -> bool {
    let firewalls = ["nsg_", "firewall_", "ufw_", "iptables_"];
    let steps = plan["content"]["steps"].as_array();
    let mut steps = steps.into_iter().flatten().peekable();
    steps.peek().is_some()
        && steps.all(|step| {
            let effect = text(&step["effect"]["kind"]);
            let is_firewall = firewalls.iter().any(|prefix| effect.starts_with(prefix));
            !is_firewall || step["delta"]["kind"] == "computed"
        })
}

/// One pod with logs for each node.
async fn pods_by_node(kubectl: &Kubectl) -> Result<BTreeMap<String, (String, String)>, DemoError> {
    let pods = kubectl
        .run(&["get", "pods", "--all-namespaces", "--output=json"])
        .await?;
    let pods = pods.success()?.json()?;
    let mut by_node = BTreeMap::new();
    for pod in pods["items"].as_array().into_iter().flatten() {
        let node = text(&pod["spec"]["nodeName"]);
        let name = (
            text(&pod["metadata"]["namespace"]),
            text(&pod["metadata"]["name"]),
        );
        if !node.is_empty() && pod["status"]["phase"] == "Running" {
            by_node.entry(node).or_insert(name);
        }
    }
    Ok(by_node)
}

fn say(heading: &str) {
    println!("\n── {heading}\n");
}

fn observed(what: &str, it_was: bool) -> Result<(), DemoError> {
    if it_was {
        println!("\n✓ {}", what.trim());
        Ok(())
    } else {
        Err(DemoError::NotObserved(what.to_owned()))
    }
}
