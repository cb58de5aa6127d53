//! A plugin that misbehaves on request, for the tests of the host: the text of
//! the symptom says how. Its description is chosen by [`DESCRIPTION`], which a
//! test overwrites in the component.

use std::{
    hash::{BuildHasher, RandomState},
    hint::black_box,
    time::Duration,
};

use naosu_plugin::{
    Capability, Cluster, Description, Effect, EffectKind, Evidence, Finding, Judgement, ObjectRef,
    ObserveError, Parameter, ParameterType, Plugin, PluginError, Proposal, Query, Reads, Step,
    Symptom, TcpProbe, Verdict, finding,
};

/// How the plugin describes itself: the word after the colon.
pub static DESCRIPTION: [u8; 32] = *b"naosu-hostile-describe:honest   ";

/// The plugin.
pub struct Hostile;

fn description_wanted() -> String {
    // SAFETY: the pointer is that of a live static. The read is volatile so that
    // the bytes in the component decide, and not those the compiler saw.
    let bytes = unsafe { std::ptr::read_volatile(&raw const DESCRIPTION) };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.split(':').nth(1).unwrap_or("honest").trim().to_owned()
}

impl Plugin for Hostile {
    fn describe() -> Description {
        let mut description = Description {
            id: "hostile".into(),
            version: "0.1.0".into(),
            cause: "hostile".into(),
            summary: "Misbehaves".into(),
            fix: String::new(),
            parameters: vec![Parameter {
                name: "way".into(),
                type_: ParameterType::Text,
                summary: "How to misbehave".into(),
                required: false,
                default: "\"none\"".into(),
            }],
            capabilities: vec![Capability::AzureRead, Capability::KubernetesRead],
            effects: vec![EffectKind::Manual],
        };
        match description_wanted().as_str() {
            "bad-id" => description.id = "../../etc".into(),
            "long" => description.summary = "x".repeat(1 << 20),
            "loop" => spin(),
            "probe" => description.capabilities.push(Capability::Probe),
            "parameter" => description.parameters[0].default = "{".into(),
            _ => {}
        }
        description
    }

    #[allow(clippy::disallowed_methods)] // to misbehave is its purpose
    fn diagnose(reads: &dyn Reads, _: &Cluster, symptom: &Symptom) -> Result<Finding, PluginError> {
        let summary = match symptom.text.as_str() {
            "loop" => spin(),
            "memory" => allocate(),
            "stack" => recurse(1).to_string(),
            "output" => "x".repeat(64 << 20),
            "long" => "x".repeat(1 << 20),
            "trap" => panic!("\x1b[31mon purpose"),
            "exit" => std::process::exit(3),
            "sleep" => {
                std::thread::sleep(Duration::from_secs(3600));
                String::new()
            }
            "log" => {
                for _ in 0..1_000 {
                    println!("\x1b[2J{}", "noise ".repeat(20));
                }
                "logged".into()
            }
            "clock" => format!("{:?}", std::time::SystemTime::now()),
            "random" => RandomState::new().hash_one(1).to_string(),
            "files" => format!("{:?}", std::fs::read_to_string("/etc/passwd").is_err()),
            "environment" => format!(
                "{:?} {:?}",
                std::env::vars().count(),
                std::env::args().count()
            ),
            "metric" | "secret" | "path" => answer(reads, &symptom.text),
            "copies" => copies(reads),
            "hand-on" => return Err(PluginError::Observation(failed_read(reads, 2)?)),
            "hand-on-last" => return Err(PluginError::Observation(failed_read(reads, 50)?)),
            "invent" => {
                let invented = ObserveError::Forbidden("so it is said".into());
                return Err(PluginError::Observation(invented));
            }
            other => match other.strip_prefix("probe ") {
                Some(host) => probe(reads, host),
                None => other.to_owned(),
            },
        };
        let mut finding = finding("hostile", Judgement::Suspected, summary).build();
        match symptom.text.as_str() {
            "other-cause" => finding.cause = "innocent".into(),
            "bad-json" => finding.subject = "{\"a\":".into(),
            "bad-time" => finding.evidence.push(evidence(u64::MAX)),
            "bad-prefix" => finding.required_flows.push(naosu_plugin::Flow {
                protocol: "Tcp".into(),
                source_prefixes: vec!["10.0.0.0/33".into()],
                destination_prefixes: Vec::new(),
                destination_ports: Vec::new(),
            }),
            "escapes" => finding.summary = "\x1b[2J; rm -rf /\n".into(),
            _ => {}
        }
        Ok(finding)
    }

    fn plan(
        _: &dyn Reads,
        _: &Cluster,
        _: &Finding,
        parameters: &str,
    ) -> Result<Proposal, PluginError> {
        let effect = if parameters.contains("undeclared") {
            Effect::UfwDisable("node-0".into())
        } else if parameters.contains("newline") {
            Effect::Manual("do this\nand that".into())
        } else {
            Effect::Manual("nothing".into())
        };
        let title = if parameters.contains("title") {
            "a\nb"
        } else {
            "Ask a person"
        };
        Ok(Proposal {
            summary: parameters.to_owned(),
            steps: vec![Step {
                title: title.into(),
                effect,
            }],
            warnings: Vec::new(),
        })
    }

    fn verify(_: &dyn Reads, _: &Cluster, _: &Finding, _: &[Step]) -> Result<Verdict, PluginError> {
        Err(PluginError::NothingToDo("hostile".into()))
    }
}

fn spin() -> ! {
    let mut counter = 0_u64;
    loop {
        counter = black_box(counter.wrapping_add(1));
    }
}

fn allocate() -> String {
    let mut kept = Vec::new();
    loop {
        kept.push(vec![1_u8; 1 << 20]);
        black_box(&kept);
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == 0 {
        return 0;
    }
    recurse(black_box(depth + 1)) + frame[(depth % 64) as usize]
}

fn answer(reads: &dyn Reads, what: &str) -> String {
    let query = match what {
        "metric" => Query::TunnelProbe("node-0".into()),
        "secret" => Query::KubernetesGet(ObjectRef {
            api_version: "v1".into(),
            kind: "Secret".into(),
            namespace: "kube-system".into(),
            name: "token".into(),
        }),
        _ => Query::AzureGet("/subscriptions/0/../../metadata/identity?x=1".into()),
    };
    format!("{:?}", reads.read(&query))
}

fn any_resource() -> Query {
    Query::AzureGet("/subscriptions/0/resourceGroups/rg".into())
}

/// The failure of the last of so many reads of one resource.
fn failed_read(reads: &dyn Reads, count: usize) -> Result<ObserveError, PluginError> {
    let last = (0..count).map(|_| reads.read(&any_resource())).last();
    match last {
        Some(Err(error)) => Ok(error),
        _ => Err(PluginError::NothingToDo("the read did not fail".into())),
    }
}

/// How many of a thousand copies of one answer are given, all asked for at once.
fn copies(reads: &dyn Reads) -> String {
    let answers = reads.read_many(&vec![any_resource(); 1_000]);
    let given = answers.iter().flatten().count();
    let refused = answers.iter().find_map(|answer| answer.as_ref().err());
    format!("{given} {refused:?}")
}

fn probe(reads: &dyn Reads, host: &str) -> String {
    let query = Query::TcpProbe(TcpProbe {
        from_node: "node-0".into(),
        to_host: host.into(),
        port: 443,
    });
    match reads.read(&query) {
        Ok(_) => "tried".into(),
        Err(error) => format!("{error:?}"),
    }
}

fn evidence(observed_at: u64) -> Evidence {
    Evidence {
        resource: String::new(),
        field: String::new(),
        value: String::new(),
        observed_at,
        meaning: String::new(),
    }
}

naosu_plugin::export!(Hostile);
