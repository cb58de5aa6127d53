//! The environment's part of a configuration: `NAOSU_LISTEN__TCP` is `listen.tcp`.

use std::ffi::OsString;

use serde_json::Value;

use super::{
    FILE_VARIABLE,
    document::Override,
    nearest::nearest,
    origin::{Origin, Place},
    problem::Problem,
    sections::Sections,
};

/// Prefix of environment variables; "__" stands for a dot.
const PREFIX: &str = "NAOSU_";

/// Variables of Naosu's that are no settings: those of its tests and of the lab,
/// which share an environment with it.
const NO_SETTINGS: [&str; 4] = [
    FILE_VARIABLE,
    "NAOSU_AZURE_REFERENCE",
    "NAOSU_KUBECTL",
    "NAOSU_WRITE_MATRIX",
];

/// Prefixes of further such variables.
const NO_SETTINGS_BEGIN: [&str; 3] = ["NAOSU_BENCH_", "NAOSU_LAB_", "NAOSU_ORACLE_"];

/// The settings of an environment, by key, and what is wrong with its `NAOSU_…`
/// variables. What belongs to other programs is not looked at.
pub fn settings(environment: &[(OsString, OsString)]) -> (Vec<Override>, Vec<Problem>) {
    let mut settings = Vec::new();
    let mut problems = Vec::new();
    for (name, value) in environment {
        match setting(name, value) {
            Some(Ok(setting)) => settings.push(setting),
            Some(Err(problem)) => problems.push(problem),
            None => {}
        }
    }
    settings.sort_by(|a, b| a.key.cmp(&b.key));
    problems.sort_by_key(ToString::to_string);
    (settings, problems)
}

fn setting(name: &OsString, value: &OsString) -> Option<Result<Override, Problem>> {
    let Some(known) = name.to_str() else {
        let shown = name.to_string_lossy().into_owned();
        let ours = shown.starts_with(PREFIX);
        return ours.then(|| Err(wrong(&shown, String::new(), "its name is not UTF-8")));
    };
    let key = known.strip_prefix(PREFIX)?;
    // A name without "__" is in no section.
    if key != "SERVER" && !key.contains("__") {
        let foreign = is_no_setting(known) || is_service_link(key);
        return (!foreign).then(|| Err(unknown(known)));
    }
    let key = key.to_ascii_lowercase().replace("__", ".");
    Some(match value.to_str() {
        Some(value) => Ok(Override {
            origin: Origin::Environment(known.to_owned()),
            key,
            value: value.to_owned(),
        }),
        None => Err(wrong(
            known,
            key,
            format!("{:?} is not UTF-8", value.to_string_lossy()),
        )),
    })
}

fn is_no_setting(name: &str) -> bool {
    NO_SETTINGS.contains(&name)
        || NO_SETTINGS_BEGIN
            .iter()
            .any(|begin| name.starts_with(begin))
}

/// What Kubernetes puts into each pod beside a service whose name begins with
/// "naosu": `NAOSU_SERVICE_HOST`, `NAOSU_PORT`, `NAOSU_PORT_7443_TCP_ADDR`.
fn is_service_link(rest: &str) -> bool {
    let rest = format!("_{rest}");
    let numbered = |(_, after): (&str, &str)| {
        let (number, protocol) = after.split_once('_').unwrap_or_default();
        number.parse::<u16>().is_ok()
            && ["TCP", "UDP", "SCTP"]
                .iter()
                .any(|p| protocol.starts_with(p))
    };
    rest.ends_with("_SERVICE_HOST")
        || rest.ends_with("_SERVICE_PORT")
        || rest.contains("_SERVICE_PORT_")
        || rest.ends_with("_PORT")
        || rest.split_once("_PORT_").is_some_and(numbered)
}

fn unknown(name: &str) -> Problem {
    let mut known = Vec::new();
    let defaults = serde_json::to_value(Sections::default()).unwrap_or_default();
    variables(&defaults, PREFIX.trim_end_matches('_'), "_", &mut known);
    known.push(FILE_VARIABLE.to_owned());
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let message = match nearest(name, &known) {
        Some(near) => format!("unknown variable; did you mean {near}?"),
        None => {
            "unknown variable; NAOSU_LISTEN__TCP is listen.tcp, and so for every setting".to_owned()
        }
    };
    wrong(name, String::new(), message)
}

/// The variables of all settings below `value`, which `name` leads to.
fn variables(value: &Value, name: &str, separator: &str, found: &mut Vec<String>) {
    match value.as_object().filter(|settings| !settings.is_empty()) {
        Some(settings) => {
            for (key, value) in settings {
                let name = format!("{name}{separator}{}", key.to_ascii_uppercase());
                variables(value, &name, "__", found);
            }
        }
        None => found.push(name.to_owned()),
    }
}

fn wrong(name: &str, key: String, message: impl Into<String>) -> Problem {
    Problem {
        place: Some(Place {
            origin: Origin::Environment(name.to_owned()),
            line: 1,
        }),
        key,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn problems(name: &[u8], value: &[u8]) -> Vec<String> {
        let variable = (
            OsString::from_vec(name.to_vec()),
            OsString::from_vec(value.to_vec()),
        );
        let (settings, problems) = settings(&[variable]);
        assert!(settings.is_empty() || problems.is_empty());
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unknown_variable_is_told_with_the_nearest_one() {
        for (given, meant) in [
            ("NAOSU_SEVER", "NAOSU_SERVER"),
            ("NAOSU_LOG_LEVEL", "NAOSU_LOG__LEVEL"),
            ("NAOSU_CLIENT_TOKEN_FILE", "NAOSU_CLIENT__TOKEN_FILE"),
            ("NAOSU_CONFG", "NAOSU_CONFIG"),
        ] {
            let said = problems(given.as_bytes(), b"x");
            let expected = format!("environment {given}: unknown variable; did you mean {meant}?");
            assert_eq!(said, [expected]);
        }
        assert_eq!(
            problems(b"NAOSU_ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ", b"x").len(),
            1
        );
    }

    #[test]
    fn what_belongs_to_others_is_not_looked_at() {
        for foreign in [
            "PATH",
            "NAOSU",
            "XNAOSU_SEVER",
            "NAOSU_CONFIG",
            "NAOSU_LAB_ID",
            "NAOSU_SERVICE_HOST",
            "NAOSU_SERVICE_PORT",
            "NAOSU_SERVICE_PORT_GRPC",
            "NAOSU_PORT",
            "NAOSU_PORT_7443_TCP",
            "NAOSU_PORT_7443_TCP_ADDR",
            "NAOSU_METRICS_SERVICE_HOST",
            "NAOSU_METRICS_PORT_9090_TCP_PROTO",
        ] {
            assert_eq!(problems(foreign.as_bytes(), b"\xff"), [""; 0], "{foreign}");
        }
        assert_eq!(problems(b"FOO\xff", b"\xff"), [""; 0]);
    }

    #[test]
    fn what_is_not_utf_8_is_told_with_its_variable() {
        assert_eq!(
            problems(b"NAOSU_LOG__LEVEL", b"in\xfffo"),
            ["environment NAOSU_LOG__LEVEL: log.level: \"in\u{fffd}fo\" is not UTF-8"]
        );
        let said = problems(b"NAOSU_LOG__L\xff", b"info");
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("its name is not UTF-8"), "{said:?}");
    }
}
