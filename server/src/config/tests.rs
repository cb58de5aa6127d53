use std::{ffi::OsString, fs, path::Path};

use naosu_engine::Code;
use proptest::prelude::*;

use super::*;

fn flag(key: &str, value: &str) -> Override {
    Override {
        origin: Origin::Flag("--set".to_owned()),
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

fn variable(name: &str, value: &str) -> (OsString, OsString) {
    (name.into(), value.into())
}

fn written(folder: &Path, text: &str) -> Given {
    let path = folder.join("naosu.toml");
    fs::write(&path, text).unwrap();
    Given {
        file: Some(path),
        ..Given::default()
    }
}

#[test]
fn the_example_gives_the_defaults_and_names_every_setting() {
    let parsed: Sections = toml::from_str(EXAMPLE).unwrap();
    assert_eq!(parsed, Sections::default());
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| {
            let setting = line.strip_prefix("# ").filter(|rest| {
                rest.split_once(" = ").is_some_and(|(key, value)| {
                    key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                        && !value.starts_with("...")
                })
            });
            format!("{}\n", setting.unwrap_or(line))
        })
        .collect();
    let written: toml::Value = toml::from_str(&uncommented).unwrap();
    let written = serde_json::to_value(written).unwrap();
    toml::from_str::<Sections>(&uncommented).unwrap();
    let mut missing = Vec::new();
    missing_in(
        &written,
        &serde_json::to_value(&parsed).unwrap(),
        "",
        &mut missing,
    );
    assert!(missing.is_empty(), "not in the example: {missing:?}");
}

fn missing_in(
    written: &serde_json::Value,
    setting: &serde_json::Value,
    path: &str,
    missing: &mut Vec<String>,
) {
    for (key, inner) in setting.as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        match written.get(key) {
            Some(written) => missing_in(written, inner, &path, missing),
            None => missing.push(path),
        }
    }
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[log]\nlevel = \"error\"\nformat = \"json\"\n[listen]\ntcp = \"127.0.0.1:1\"\n";
    let mut given = written(folder.path(), text);
    given.environment = vec![
        variable("NAOSU_LOG__LEVEL", "info"),
        variable("NAOSU_LISTEN__TCP", "127.0.0.1:2"),
        variable("ELSE", "x"),
    ];
    given.flags = vec![flag("listen.tcp", "127.0.0.1:3")];
    let config = load(&given).unwrap();
    assert_eq!(config.listen.tcp.unwrap().port(), 3);
    assert_eq!(config.log.level, "info");
    assert_eq!(config.log.format, sections::LogFormat::Json);
    assert_eq!(config.listen.unix_mode, 0o600);
}

#[test]
fn every_problem_is_reported_with_its_place_and_nearest_key() {
    let folder = tempfile::tempdir().unwrap();
    let text = "sever = \"unix:///x\"\n[listen]\ntcp = \"nowhere\"\nunix_mode = \"999\"\n\
                [log]\nformat = \"xml\"\n[lgo]\nlevel = 1\n";
    let mut given = written(folder.path(), text);
    given.environment = vec![
        variable("NAOSU_LOG__LVEL", "info"),
        variable("NAOSU_SEVER", "unix:///x"),
    ];
    given.flags = vec![flag("auth.loopback", "approver")];
    let error = load(&given).unwrap_err();
    assert_eq!(error.code, Code::InvalidConfiguration);
    let said = error.message;
    for expected in [
        "naosu.toml:1: sever: unknown key; did you mean \"server\"?",
        "naosu.toml:3: listen.tcp: ",
        "naosu.toml:4: listen.unix_mode: \"999\" is not octal",
        "naosu.toml:6: log.format: ",
        "naosu.toml:7: lgo: unknown key; did you mean \"log\"?",
        "environment NAOSU_LOG__LVEL: log.lvel: unknown key; did you mean \"level\"?",
        "environment NAOSU_SEVER: unknown variable; did you mean NAOSU_SERVER?",
        "flag --set: auth.loopback: anyone on this machine could approve",
    ] {
        assert!(said.contains(expected), "{expected}\nnot in\n{said}");
    }
    assert_eq!(said.lines().count(), 8, "{said}");
}

#[test]
fn every_syntax_error_is_reported_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let error = load(&written(folder.path(), "server = \n[log\nlevel = \"x\"\n")).unwrap_err();
    assert!(error.message.contains("naosu.toml:1: "), "{error}");
    assert!(error.message.contains("naosu.toml:2: "), "{error}");
}

#[test]
fn a_text_that_looks_like_a_number_is_still_text() {
    let given = Given {
        flags: vec![flag("listen.unix_mode", "660")],
        ..Given::default()
    };
    assert_eq!(load(&given).unwrap().listen.unix_mode, 0o660);
}

#[test]
fn problems_of_the_tokens_file_name_its_own_lines() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens.toml");
    fs::write(
        &tokens,
        "[alice]\nsha256 = \"12\"\nrole = \"approver\"\n[bob]\nsha256 = \"ab\"\nrole = \"king\"\n",
    )
    .unwrap();
    let given = Given {
        flags: vec![flag("auth.tokens_file", &tokens.display().to_string())],
        ..Given::default()
    };
    let said = load(&given).unwrap_err().message;
    assert!(
        said.contains("tokens.toml:1: alice: sha256 \"12\""),
        "{said}"
    );
    assert!(said.contains("tokens.toml:6: bob.role: "), "{said}");
}

#[test]
fn a_file_that_cannot_be_read_leaves_environment_and_flags_to_be_checked() {
    let given = Given {
        file: Some("/nonexistent/naosu.toml".into()),
        environment: vec![variable("NAOSU_LOG__FORMAT", "xml")],
        flags: vec![flag("listen.unix_mode", "999")],
    };
    let said = load(&given).unwrap_err().message;
    for expected in [
        "/nonexistent/naosu.toml: No such file",
        "environment NAOSU_LOG__FORMAT: log.format: ",
        "flag --set: listen.unix_mode: ",
    ] {
        assert!(said.contains(expected), "{expected}\nnot in\n{said}");
    }
}

/// Settings that parse and cannot work, each with what is said of its line.
const HOPELESS: &[(&str, &[(&str, &str)])] = &[
    (
        "[azure]",
        &[
            ("endpoint = \"http://example.com\"", "in the clear"),
            ("authority = \"http://10.0.0.1\"", "in the clear"),
            ("ca_file = \"/nonexistent/ca.pem\"", "No such file"),
            ("connect_timeout_ms = 0", "is 0; give 1 to 3600000"),
            ("request_timeout_ms = 0", "is 0; give 1 to 3600000"),
            (
                "operation_timeout_ms = 9223372036854775807",
                "give 1 to 86400000",
            ),
            ("poll_interval_ms = 0", "is 0"),
            ("response_limit_bytes = 0", "is 0"),
            ("page_limit = 0", "is 0"),
        ],
    ),
    (
        "[azure.retry]",
        &[
            ("attempts = 0", "is 0; give 1 to 100"),
            ("base_delay_ms = 0", "is 0"),
            ("delay_limit_ms = 3600001", "give 1 to 3600000"),
        ],
    ),
    (
        "[azure.credential]",
        &[
            ("kind = \"client_secret\"", ""),
            ("secret_file = \"/nonexistent/secret\"", "No such file"),
        ],
    ),
    (
        "[kubernetes]",
        &[
            ("request_timeout_ms = 0", "is 0"),
            ("probe_timeout_ms = 0", "is 0"),
            ("eviction_timeout_ms = 86400001", "give 0 to 86400000"),
        ],
    ),
    (
        "[kubernetes.source]",
        &[
            ("kind = \"file\"", ""),
            ("path = \"/nonexistent/kubeconfig\"", "No such file"),
        ],
    ),
    ("[kubernetes.retry]", &[("attempts = 101", "give 1 to 100")]),
    (
        "[node]",
        &[
            ("busy_timeout_ms = 86400001", "give 0 to 86400000"),
            ("command_timeout_ms = 0", "is 0"),
            ("probe_timeout_seconds = 0", "is 0; give 1 to 600"),
            ("output_limit_bytes = 0", "is 0"),
        ],
    ),
    (
        "[runs]",
        &[
            ("verify_for_seconds = 86401", "give 0 to 86400"),
            ("verify_pause_ms = 0", "is 0"),
            ("retry_pause_ms = 0", "is 0"),
        ],
    ),
    (
        "[policy]",
        &[
            ("approvals = 0", "must be at least 1"),
            ("plan_valid_for_secs = 0", "is 0"),
            ("approvers = [\"alice\"]", "strong_approvals is 2"),
        ],
    ),
    (
        "[plugins]",
        &[("folder = \"/nonexistent/plugins\"", "No such file")],
    ),
    (
        "[client]",
        &[("ca_file = \"/dev/null\"", "no certificate in PEM")],
    ),
];

#[test]
fn a_setting_that_cannot_work_is_told_with_its_line_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let (mut text, mut expected) = (String::new(), Vec::new());
    let mut line = 0;
    for (section, settings) in HOPELESS {
        text.push_str(&format!("{section}\n"));
        line += 1;
        for (setting, reason) in *settings {
            text.push_str(&format!("{setting}\n"));
            line += 1;
            let key = setting.split(' ').next().unwrap();
            let section = section.trim_matches(['[', ']']);
            if !reason.is_empty() {
                expected.push((format!("naosu.toml:{line}: {section}.{key}: "), *reason));
            }
        }
    }
    let said = load(&written(folder.path(), &text)).unwrap_err().message;
    for (place, reason) in &expected {
        let told = said.lines().find(|line| line.contains(place));
        assert!(
            told.is_some_and(|told| told.contains(reason)),
            "{place}{reason}\nnot in\n{said}"
        );
    }
    assert_eq!(said.lines().count(), expected.len(), "{said}");
}

#[test]
fn a_grant_for_a_plugin_that_is_not_there_is_told_where_all_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[plugins.grants.nsg-alow-port]\ncapabilities = []\n\
                [plugins.grants.nsg-allow-port]\ncapabilities = []\n";
    let said = load(&written(folder.path(), text)).unwrap_err().message;
    let expected = "naosu.toml:1: plugins.grants.nsg-alow-port: no plugin has this id; \
                    did you mean \"nsg-allow-port\"?";
    assert!(said.ends_with(expected), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    // A plugin of a folder may have any id.
    let text = format!(
        "[plugins]\nfolder = \"{}\"\n{text}",
        folder.path().display()
    );
    load(&written(folder.path(), &text)).unwrap();
}

#[test]
fn a_user_or_plugin_whose_name_has_dots_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[auth.os_users]\n\"jo.doe\" = \"none\"\n";
    let said = load(&written(folder.path(), text)).unwrap_err().message;
    assert!(
        said.contains("naosu.toml:2: auth.os_users.jo.doe: "),
        "{said}"
    );
}

#[test]
fn a_socket_that_lets_others_in_makes_nobody_an_approver_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let socket = "unix = \"/run/naosu.sock\"";
    for mode in ["0660", "0666", "0620"] {
        let text = format!("[listen]\n{socket}\nunix_mode = \"{mode}\"\n");
        let said = load(&written(folder.path(), &text)).unwrap_err().message;
        assert!(said.contains("naosu.toml:3: listen.unix_mode: "), "{said}");
        assert!(said.contains("auth.other_os_users"), "{said}");
        for said in ["approver", "requester", "none"] {
            let text = format!("{text}[auth]\nother_os_users = \"{said}\"\n");
            load(&written(folder.path(), &text)).unwrap();
        }
    }
    let text = format!("[listen]\n{socket}\nunix_mode = \"0600\"\n");
    load(&written(folder.path(), &text)).unwrap();
    // Who takes over the printed example has not said it yet.
    let example = format!("{EXAMPLE}\n").replace("# unix = ", "unix = ");
    let example = example.replace("unix_mode = \"0600\"", "unix_mode = \"0660\"");
    assert!(load(&written(folder.path(), &example)).is_err());
}

#[test]
fn the_holder_of_a_token_and_a_user_of_the_machine_are_one_person() {
    use crate::auth::Peer;
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens.toml");
    let sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let holder = format!("[alice]\nsha256 = \"{sha256}\"\nrole = \"approver\"\n");
    let load = |more: &str| {
        fs::write(&tokens, format!("{holder}{more}")).unwrap();
        let given = Given {
            flags: vec![flag("auth.tokens_file", &tokens.display().to_string())],
            ..Given::default()
        };
        load(&given)
    };
    let peer = Peer::Unix { uid: 0 };
    let config = load("os_user = \"root\"\n").unwrap();
    let by_token = config
        .authenticator
        .authenticate(Some("Bearer secret"), peer);
    let by_socket = config.authenticator.authenticate(None, peer);
    let (by_token, by_socket) = (by_token.unwrap().principal, by_socket.unwrap().principal);
    assert_eq!(by_token.name, "alice");
    assert_eq!(by_token.person_behind(), by_socket.person_behind());
    let refused = load("os_user = \"os-user:root\"\n").unwrap_err().message;
    assert!(refused.contains("tokens.toml:"), "{refused}");
    assert!(refused.contains("os_user"), "{refused}");
}

#[test]
fn tokens_never_travel_in_the_clear() {
    let refused = |key, value| {
        let given = Given {
            flags: vec![flag(key, value)],
            ..Given::default()
        };
        load(&given).unwrap_err().message.contains("in the clear")
    };
    assert!(refused("listen.tcp", "192.0.2.1:7443"));
    assert!(refused("server", "http://192.0.2.1:7443"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_damaged_file_is_a_configuration_or_an_error_that_names_it(
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        put in prop::sample::select(vec![
            "", "[", "]", "=", "\"", "'''", "\n", "#", "= [[", "listen", ".", "-1", "1e999", "\u{0}", "é",
        ]),
    ) {
        let settings = EXAMPLE.lines().map(|line| line.trim_start_matches("# "));
        let whole = settings.collect::<Vec<_>>().join("\n");
        let places: Vec<usize> = whole.char_indices().map(|(at, _)| at).collect();
        let (from, to) = (*from.get(&places), *to.get(&places));
        let (first, last) = (from.min(to), from.max(to));
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{}{put}{}", &whole[..first], &whole[last..]);
        if let Err(error) = load(&written(folder.path(), &text)) {
            prop_assert_eq!(error.code, Code::InvalidConfiguration);
            prop_assert!(error.message.contains("naosu.toml"), "{}", error.message);
        }
    }
}
