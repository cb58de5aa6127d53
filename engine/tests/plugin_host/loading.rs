//! What is loaded and what is refused.

use std::{collections::BTreeSet, path::Path};

use naosu_engine::{
    Code,
    model::{Capability, Digest},
    plugin::{HostSettings, Limits, Origin, PluginHost},
};

use crate::support::{file, granting, hostile_describing, limits, settings};

async fn refusal(bytes: &[u8]) -> naosu_engine::Error {
    refusal_by(settings(), bytes).await
}

async fn refusal_by(settings: HostSettings, bytes: &[u8]) -> naosu_engine::Error {
    let host = PluginHost::new(settings).unwrap();
    match host.load(bytes, file()).await {
        Ok(plugin) => panic!("{} was loaded", plugin.info().id),
        Err(error) => error,
    }
}

#[tokio::test]
async fn every_bundled_plugin_loads_has_its_id_and_has_tests_of_its_own() {
    // Compiling them all takes a while; what is kept is checked before it is used.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins");
    std::fs::create_dir_all(&cache).unwrap();
    let host = PluginHost::new(HostSettings {
        cache_directory: Some(cache),
        ..HostSettings::default()
    })
    .unwrap();
    let mut causes = BTreeSet::new();
    for component in naosu_bundle::COMPONENTS {
        let plugin = host.load(component.bytes, Origin::Bundled).await.unwrap();
        let info = plugin.info();
        assert_eq!(info.id, component.id);
        assert_eq!(info.source, "bundled");
        assert_eq!(info.contract, "naosu:plugin@0.1.0");
        assert!(causes.insert((info.cause.clone(), info.id.clone())));
        for import in &info.imports {
            assert!(
                !import.contains("sockets") && !import.contains("http"),
                "{} imports {import}",
                info.id
            );
        }
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../plugins")
            .join(component.id)
            .join("tests/plugin.rs");
        assert!(tests.is_file(), "{} has no tests", component.id);
    }
    assert_eq!(naosu_bundle::COMPONENTS.len(), naosu_bundle::GUESTS.len());
    for cause in naosu_engine::symptom::known_causes() {
        assert!(
            causes.iter().any(|(known, _)| known == cause),
            "a symptom speaks for {cause}, which no plugin judges"
        );
    }
}

#[tokio::test]
async fn a_component_is_only_loaded_by_its_own_address() {
    let host = PluginHost::new(HostSettings::default()).unwrap();
    let component = &naosu_bundle::COMPONENTS[0];
    let digest = Digest::parse(component.digest).unwrap();
    let load = |digest| host.load_addressed(component.bytes, digest, Origin::Bundled);
    let plugin = load(digest.clone()).await.unwrap();
    assert_eq!(plugin.info().digest, digest);
    let other = Digest::of_bytes(b"other");
    let error = match load(other).await {
        Ok(plugin) => panic!("{} was loaded", plugin.info().id),
        Err(error) => error,
    };
    assert_eq!(error.code, Code::PluginMisbehaved);
    assert!(error.message.contains(digest.as_str()), "{}", error.message);
}

#[tokio::test]
async fn what_is_no_component_is_refused() {
    let core = wat::parse_str("(module (func (export \"describe\")))").unwrap();
    let mut corrupt = naosu_bundle::HOSTILE.to_vec();
    corrupt.truncate(corrupt.len() / 2);
    let cases: [&[u8]; 5] = [
        b"",
        b"MZ\x90\0 not wasm at all",
        &core,
        &corrupt,
        b"\0asm\x0d\0\x01\0\xff\xff\xff\xff",
    ];
    for bytes in cases {
        let error = refusal(bytes).await;
        assert_eq!(error.code, Code::PluginNotAComponent, "{error}");
        assert!(error.message.contains("hostile.wasm"), "{error}");
    }
}

#[tokio::test]
async fn random_bytes_after_a_component_preamble_are_refused() {
    // A small generator of its own, so that a failure can be repeated.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..50 {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        for _ in 0..64 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        let error = refusal(&bytes).await;
        assert_eq!(error.code, Code::PluginNotAComponent, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_component_without_the_exports_of_the_world_is_refused() {
    let empty = wat::parse_str("(component)").unwrap();
    let error = refusal(&empty).await;
    assert_eq!(error.code, Code::PluginWrongWorld);
    assert!(error.message.contains("describe"), "{error}");
}

#[tokio::test]
async fn an_import_outside_the_list_is_refused_by_name() {
    let sockets = wat::parse_str(
        r#"(component
             (import "wasi:sockets/tcp-create-socket@0.2.6" (instance))
             (import "wasi:http/outgoing-handler@0.2.6" (instance))
             (import "wasi:cli/exit@0.2.6" (instance)))"#,
    )
    .unwrap();
    let error = refusal(&sockets).await;
    assert_eq!(error.code, Code::PluginImportUndeclared);
    assert!(
        error
            .message
            .contains("wasi:sockets/tcp-create-socket@0.2.6"),
        "{error}"
    );
    assert!(
        error.message.contains("wasi:http/outgoing-handler@0.2.6"),
        "{error}"
    );
    assert!(!error.message.contains("wasi:cli/exit"), "{error}");
}

#[tokio::test]
async fn an_import_of_another_type_than_the_contract_is_refused() {
    let other = wat::parse_str(
        r#"(component
             (import "naosu:plugin/observe@0.1.0" (instance
               (export "read" (func (param "q" string) (result string))))))"#,
    )
    .unwrap();
    assert_eq!(refusal(&other).await.code, Code::PluginWrongWorld);
}

#[tokio::test]
async fn a_capability_that_is_not_granted_is_named() {
    let settings = HostSettings {
        grants: granting(&[Capability::AzureRead]),
        ..settings()
    };
    let error = refusal_by(settings, naosu_bundle::HOSTILE).await;
    assert_eq!(error.code, Code::PluginCapabilityNotGranted);
    assert!(error.message.contains("kubernetes_read"), "{error}");
    assert!(!error.message.contains("azure_read"), "{error}");
    let error = refusal(&hostile_describing("probe")).await;
    assert_eq!(error.code, Code::PluginCapabilityNotGranted);
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_before_it_is_read() {
    let settings = HostSettings {
        limits: Limits {
            component_bytes: 1_000,
            ..limits()
        },
        ..settings()
    };
    let error = refusal_by(settings.clone(), naosu_bundle::HOSTILE).await;
    assert_eq!(error.code, Code::PluginLimitExceeded);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large.wasm");
    std::fs::write(&path, naosu_bundle::HOSTILE).unwrap();
    let host = PluginHost::new(settings).unwrap();
    let error = host.load_file(&path).await.err().unwrap();
    assert_eq!(error.code, Code::PluginLimitExceeded);
    let absent = host.load_file(&directory.path().join("absent")).await;
    assert_eq!(absent.err().unwrap().code, Code::InvalidConfiguration);
}

/// A component of so many instances of a core module.
fn component_of(instances: usize, module: &str) -> Vec<u8> {
    let instance = "(core instance (instantiate $m))\n".repeat(instances);
    wat::parse_str(format!("(component (core module $m {module})\n{instance})")).unwrap()
}

#[tokio::test]
async fn a_component_that_needs_more_than_the_sandbox_has_is_over_a_limit() {
    let components = [
        ("memory", component_of(1, "(memory 8192)")),
        ("instances", component_of(20, "")),
        ("memories", component_of(5, "(memory 1)")),
        ("table", component_of(1, "(table 100000 funcref)")),
    ];
    for (word, bytes) in components {
        let error = refusal_by(HostSettings::default(), &bytes).await;
        assert_eq!(error.code, Code::PluginLimitExceeded, "{word}: {error}");
        assert!(error.message.contains(word), "{word}: {error}");
        assert!(error.message.contains("hostile.wasm"), "{word}: {error}");
    }
    // As near as can be, and within: the world is what it lacks.
    let within = component_of(1, "(memory 1) (table 1000 funcref)");
    let error = refusal_by(HostSettings::default(), &within).await;
    assert_eq!(error.code, Code::PluginWrongWorld, "{error}");
}

#[tokio::test]
async fn compiling_is_given_up_after_its_time() {
    let settings = HostSettings {
        limits: Limits {
            compile_ms: 1,
            ..limits()
        },
        ..settings()
    };
    let error = refusal_by(settings, naosu_bundle::HOSTILE).await;
    assert_eq!(error.code, Code::PluginLimitExceeded, "{error}");
    assert!(error.message.contains("1 ms to compile"), "{error}");
}

#[tokio::test]
async fn a_malformed_description_is_refused_with_its_field() {
    for (how, field) in [
        ("bad-id", "describe.id"),
        ("long", "describe.summary"),
        ("parameter", "describe.parameters[0].default"),
    ] {
        let error = refusal(&hostile_describing(how)).await;
        assert_eq!(error.code, Code::PluginMisbehaved, "{how}: {error}");
        assert!(error.message.contains(field), "{how}: {error}");
    }
}

#[tokio::test]
async fn a_description_that_never_ends_is_stopped() {
    let error = refusal(&hostile_describing("loop")).await;
    assert_eq!(error.code, Code::PluginLimitExceeded);
    assert!(error.message.contains("500 ms"), "{error}");
}
