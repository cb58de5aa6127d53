//! Where credentials come from. Azure's tokens: each credential, asked for by
//! configuration or found in the environment, against the lab's token endpoints over
//! real HTTP and a real process; and what is said when none works. Kubernetes': the
//! service account of a pod.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf};

use naosu_lab::{Lab, LabOptions, builtin_scenario, lifecycle::DataPlaneChoice};
use naosu_tests::product::{Naosu, Server};
use serde_json::json;

struct Bench {
    lab: Lab,
    naosu: Naosu,
}

impl Bench {
    /// The product with this credential in its configuration and nothing of a
    /// credential in its environment.
    async fn start(credential: toml::Table) -> Self {
        let options = LabOptions {
            // Nothing here depends on packets.
            data_plane: DataPlaneChoice::Simulated,
            ..LabOptions::default()
        };
        let scenario = builtin_scenario("nsg-deny-10250").unwrap();
        let lab = Lab::start(scenario, options).await.unwrap();
        let text = std::fs::read_to_string(lab.naosu_config_file()).unwrap();
        let mut config: toml::Table = toml::from_str(&text).unwrap();
        config["azure"]
            .as_table_mut()
            .unwrap()
            .insert("credential".to_owned(), credential.into());
        let file = lab.directory().join("credential.toml");
        std::fs::write(&file, config.to_string()).unwrap();
        let naosu = Naosu::at(&lab)
            .unwrap()
            .with_environment("NAOSU_CONFIG", &file.display().to_string())
            .with_environment("AZURE_TENANT_ID", "")
            .with_environment("AZURE_CLIENT_ID", "")
            .with_environment("AZURE_CLIENT_SECRET", "")
            // A machine without the Azure CLI.
            .with_environment("PATH", "/usr/bin:/bin");
        lab.arm().requests().clear();
        Self { lab, naosu }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.naosu = self.naosu.with_environment(name, value);
        self
    }

    /// With the lab's identity, but for the secret, in the environment.
    fn with_identity(self) -> Self {
        let (tenant, client) = (self.lab.arm().tenant(), self.lab.arm().client_id());
        let (tenant, client) = (tenant.to_owned(), client.to_owned());
        self.with("AZURE_TENANT_ID", &tenant)
            .with("AZURE_CLIENT_ID", &client)
    }

    fn with_federated_token(self, token: &str) -> Self {
        let file = self.lab.directory().join("federated-token");
        std::fs::write(&file, token).unwrap();
        self.with_identity()
            .with("AZURE_FEDERATED_TOKEN_FILE", &file.display().to_string())
    }

    fn with_managed_identity(self) -> Self {
        let arm = self.lab.arm();
        let (endpoint, header) = (arm.managed_identity_endpoint(), arm.client_secret());
        let (endpoint, header) = (endpoint.clone(), header.to_owned());
        self.with("IDENTITY_ENDPOINT", &endpoint)
            .with("IDENTITY_HEADER", &header)
    }

    /// With an `az` first on the path that runs this script.
    fn with_az(self, script: &str) -> Self {
        let folder = self.lab.directory().join("bin");
        std::fs::create_dir_all(&folder).unwrap();
        let az = folder.join("az");
        let asked = self.asked_of_az().display().to_string();
        std::fs::write(
            &az,
            format!("#!/bin/sh\necho \"$@\" >> '{asked}'\n{script}\n"),
        )
        .unwrap();
        std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.display());
        self.with("PATH", &path)
    }

    /// With an `az` that somebody is signed in to.
    fn with_signed_in_az(self) -> Self {
        let answer = json!({
            "accessToken": self.lab.arm().token(),
            "expires_on": 4_102_444_800_i64,
            "tokenType": "Bearer",
        });
        self.with_az(&format!("cat <<'END'\n{answer}\nEND"))
    }

    fn asked_of_az(&self) -> PathBuf {
        self.lab.directory().join("asked-of-az")
    }

    fn diagnose(&self) -> [String; 4] {
        let cluster = self.lab.cluster_id();
        ["diagnose", &cluster, "--plugin", "nsg-allow-port"].map(str::to_owned)
    }

    /// Reads Azure; the requests for tokens that this needed, in the clear.
    async fn token_requests(&self) -> Vec<String> {
        let words = self.diagnose();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let diagnosis = self.naosu.json(&words).await.unwrap();
        assert_eq!(diagnosis["findings"][0]["judgement"], "confirmed");
        let requests = self.lab.arm().requests().all();
        let of_tokens = requests.iter().filter(|r| r.path.contains("/token"));
        of_tokens
            .map(|r| format!("{} {}", r.query, String::from_utf8_lossy(&r.body)))
            .collect()
    }

    /// What is said when Azure cannot be read.
    async fn refusal(&self) -> String {
        let words = self.diagnose();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (code, finished) = self.naosu.failure(&words).await.unwrap();
        assert_eq!(code, "azure_unauthenticated", "{finished}");
        assert_eq!(finished.exit_code, 5);
        assert!(self.lab.arm().requests().writes().is_empty());
        finished.stderr
    }
}

fn kind(kind: &str) -> toml::Table {
    [("kind".to_owned(), kind.into())].into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_secret_is_taken_from_the_environment() {
    let bench = Bench::start(kind("client_secret")).await.with_identity();
    let secret = bench.lab.arm().client_secret().to_owned();
    let bench = bench.with("AZURE_CLIENT_SECRET", &secret);
    let requests = bench.token_requests().await;
    assert_eq!(requests.len(), 1, "one token serves all: {requests:?}");
    assert!(requests[0].contains(&format!("client_secret={secret}")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_federated_token_is_exchanged_at_the_authority() {
    let bench = Bench::start(kind("workload_identity")).await;
    let bench = bench.with_federated_token("token-of-the-pod");
    let requests = bench.token_requests().await;
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].contains("client_assertion=token-of-the-pod"));
    assert!(requests[0].contains("jwt-bearer") && requests[0].contains(".default"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_managed_identity_is_asked_for_where_the_platform_says() {
    for client_id in [None, Some("11110000-0000-4000-8000-000000000001")] {
        let mut credential = kind("managed_identity");
        if let Some(id) = client_id {
            credential.insert("client_id".to_owned(), id.into());
        }
        let bench = Bench::start(credential).await.with_managed_identity();
        let requests = bench.token_requests().await;
        assert_eq!(requests.len(), 1, "{requests:?}");
        assert!(requests[0].contains("resource="), "{requests:?}");
        let named = client_id.is_some_and(|id| requests[0].contains(&format!("client_id={id}")));
        assert_eq!(named, client_id.is_some(), "{requests:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_signed_in_to_the_azure_cli_is_asked_for_a_token() {
    let bench = Bench::start(kind("azure_cli")).await.with_signed_in_az();
    assert!(bench.token_requests().await.is_empty());
    let asked = std::fs::read_to_string(bench.asked_of_az()).unwrap();
    assert!(asked.starts_with("account get-access-token"), "{asked}");
    assert!(asked.contains("--scope https://management.azure.com/.default"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_choice_the_first_that_works_is_used_in_the_documented_order() {
    // All are there: the secret comes first.
    let bench = Bench::start(kind("auto")).await;
    let secret = bench.lab.arm().client_secret().to_owned();
    let bench = bench
        .with_federated_token("token-of-the-pod")
        .with_signed_in_az()
        .with_managed_identity()
        .with("AZURE_CLIENT_SECRET", &secret);
    assert!(bench.token_requests().await[0].contains("client_secret="));
    // Without a secret: the pod's token.
    let bench = bench.with("AZURE_CLIENT_SECRET", "");
    bench.lab.arm().requests().clear();
    assert!(bench.token_requests().await[0].contains("client_assertion="));
    assert!(!bench.asked_of_az().exists());
    // Without that: the Azure CLI.
    let bench = bench.with("AZURE_FEDERATED_TOKEN_FILE", "");
    bench.lab.arm().requests().clear();
    assert!(bench.token_requests().await.is_empty());
    assert!(bench.asked_of_az().exists());
    // Nobody is signed in: the managed identity.
    let bench = bench.with_az("echo \"Please run 'az login'\" >&2; exit 1");
    bench.lab.arm().requests().clear();
    assert!(bench.token_requests().await[0].contains("resource="));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_works_each_that_was_tried_is_named_with_its_reason_in_every_face() {
    let signed_out = "printf 'Please run \\033[1maz login\\033[0m' >&2; exit 1";
    let bench = Bench::start(kind("auto")).await.with_az(signed_out);
    let said = bench.refusal().await;
    assert!(said.contains("Azure CLI: "), "{said}");
    assert!(said.contains("az login"), "{said}");
    assert!(said.contains("managed identity: "), "{said}");
    assert!(
        !said.contains('\u{1b}') && !said.contains("\\u001b"),
        "{said}"
    );
    let server = Server::start(&bench.naosu).await.unwrap();
    let cluster = bench.lab.cluster_id();
    let words = ["diagnose", &cluster, "--server", &server.address];
    let (code, _) = bench.naosu.failure(&words).await.unwrap();
    assert_eq!(code, "azure_unauthenticated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_that_lacks_something_says_what() {
    for (credential, missing) in [
        ("client_secret", "AZURE_CLIENT_SECRET"),
        ("workload_identity", "workload identity"),
        ("azure_cli", "not found on PATH"),
    ] {
        let bench = Bench::start(kind(credential)).await;
        let said = bench.refusal().await;
        assert!(said.contains(missing), "{credential}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_azure_refuses_is_told_and_is_not_in_the_message() {
    let bench = Bench::start(kind("client_secret")).await.with_identity();
    let bench = bench.with("AZURE_CLIENT_SECRET", "not-the-secret");
    let said = bench.refusal().await;
    assert!(said.contains("AADSTS7000215"), "{said}");
    assert!(!said.contains("not-the-secret"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_ended_is_replaced_and_nothing_is_noticed() {
    let bench = Bench::start(kind("workload_identity")).await;
    let bench = bench.with_federated_token("token-of-the-pod");
    let server = Server::start(&bench.naosu).await.unwrap();
    let cluster = bench.lab.cluster_id();
    let words = ["diagnose", &cluster, "--server", &server.address];
    for _ in 0..2 {
        let diagnosis = bench.naosu.json(&words).await.unwrap();
        assert_eq!(diagnosis["findings"][0]["judgement"], "confirmed");
        bench.lab.arm().expire_tokens();
    }
    let requests = bench.lab.arm().requests().all();
    let tokens = requests.iter().filter(|r| r.path.contains("/token"));
    assert_eq!(tokens.count(), 2);
}

/// Mounts a service account where a pod has it, in a mount namespace of its own, and
/// becomes the command.
const AS_A_POD: &str = r#"
set -e
mount -t tmpfs none /var
account=/var/run/secrets/kubernetes.io/serviceaccount
mkdir -p "$account"
printf %s "$TOKEN" >"$account/token"
printf %s kube-system >"$account/namespace"
cp "$AUTHORITY" "$account/ca.crt"
exec "$@"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_pod_kubernetes_is_read_by_its_service_account() {
    let options = LabOptions {
        data_plane: DataPlaneChoice::Simulated,
        ..LabOptions::default()
    };
    let scenario = builtin_scenario("nsg-deny-10250").unwrap();
    let lab = Lab::start(scenario, options).await.unwrap();
    let kubeconfig = std::fs::read_to_string(lab.kubeconfig_file()).unwrap();
    let value = |key: &str| {
        let mut lines = kubeconfig
            .lines()
            .map(|line| line.trim_start_matches([' ', '-']));
        let value = lines.find_map(|line| line.strip_prefix(key)).unwrap();
        value.trim().to_owned()
    };
    let (server, token) = (value("server:"), value("token:"));
    let (host, port) = server
        .trim_start_matches("https://")
        .rsplit_once(':')
        .unwrap();
    let config = std::fs::read_to_string(lab.naosu_config_file()).unwrap();
    let mut config: toml::Table = toml::from_str(&config).unwrap();
    let source: toml::Table = kind("in_cluster");
    let kubernetes: toml::Table = [("source".to_owned(), source.into())].into_iter().collect();
    config.insert("kubernetes".to_owned(), kubernetes.into());
    let file = lab.directory().join("in-cluster.toml");
    std::fs::write(&file, config.to_string()).unwrap();
    let naosu = Naosu::at(&lab)
        .unwrap()
        .with_environment("NAOSU_CONFIG", &file.display().to_string())
        .with_environment("KUBECONFIG", "")
        .with_environment("KUBERNETES_SERVICE_HOST", host)
        .with_environment("KUBERNETES_SERVICE_PORT", port);
    let cluster = lab.cluster_id();
    let words = ["diagnose", &cluster, "--output", "json"];
    let command = naosu.command(&words);
    let command = command.as_std();
    let diagnose_as_a_pod = || {
        let mut pod = tokio::process::Command::new("unshare");
        pod.args(["--mount", "--propagation", "private"]);
        pod.args(["sh", "-c", AS_A_POD, "pod"]);
        pod.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            pod.env(name, value.unwrap_or_default());
        }
        pod.env("AUTHORITY", lab.authority_file());
        pod
    };
    let told = diagnose_as_a_pod()
        .env("TOKEN", &token)
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&told.stderr);
    if errors.starts_with("unshare:") {
        println!("skipped: no mount namespace, {errors}");
        return;
    }
    let diagnosis: serde_json::Value = serde_json::from_slice(&told.stdout).expect(&errors);
    // Its nodes have no real packets; all else is read.
    let unreadable = diagnosis["not_readable"].as_array().unwrap().iter();
    let codes: Vec<&serde_json::Value> = unreadable.map(|row| &row["code"]).collect();
    assert_eq!(codes, ["azure_operation_failed"], "{errors}");
    let listed = lab.kube().requests().all();
    assert!(listed.iter().any(|request| request.path == "/api/v1/nodes"));

    let told = diagnose_as_a_pod()
        .env("TOKEN", "someone-elses")
        .output()
        .await
        .unwrap();
    assert_eq!(told.status.code(), Some(5));
    let diagnosis: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let code = &diagnosis["not_readable"][0]["code"];
    assert_eq!(code, "kubernetes_unauthenticated");
}
