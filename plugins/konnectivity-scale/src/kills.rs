//! Agents that were killed for lack of memory, and whether that is of now. A pod
//! tells of its last end for as long as it lives, mended or not.

use naosu_plugin::{
    Agent, Evidence,
    kubernetes::{ContainerStatus, Terminated},
};

const REASON: &str = "OOMKilled";
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// From the first of March of the year 0.
const DAYS_BEFORE_1970: u64 = 719_468;
/// So often is not once by chance.
const OFTEN: u32 = 2;

/// How much a kill says of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// More than a day ago: the agent has had enough memory since.
    LongAgo,
    /// Once within a day, or nobody knows when.
    Once,
    /// Within the hour, or again and again within a day, or it is down of it.
    Now,
}

/// What was found of the kills.
pub struct Kills {
    /// The most that any of them says.
    pub weight: Option<Weight>,
    /// Each of them.
    pub evidence: Vec<Evidence>,
}

impl Kills {
    /// Those of these agents, which were observed at this time.
    pub fn of(agents: &[Agent], observed_at: u64) -> Self {
        let mut found = Self {
            weight: None,
            evidence: Vec::new(),
        };
        for agent in agents {
            for container in &agent.pod.status.container_statuses {
                let Some((weight, field, value)) = kill_of(container, observed_at) else {
                    continue;
                };
                found.weight = found.weight.max(Some(weight));
                let metadata = &agent.pod.metadata;
                found.evidence.push(Evidence {
                    resource: format!("pod/{}/{}", metadata.namespace, metadata.name),
                    field: format!("status.containerStatuses.{field}.terminated"),
                    value,
                    observed_at,
                    meaning: meaning(weight).to_owned(),
                });
            }
        }
        found
    }

    /// Whether they ask for more agents.
    pub fn ask_for_help(&self) -> bool {
        self.weight >= Some(Weight::Once)
    }
}

fn meaning(weight: Weight) -> &'static str {
    match weight {
        Weight::Now => "the agent carries more than its memory allows",
        Weight::Once => "the agent carried more than its memory allows, and runs since",
        Weight::LongAgo => "more than a day ago; the agent has had enough memory since",
    }
}

/// What the last kill of a container says, in which field, and its value.
fn kill_of(
    container: &ContainerStatus,
    observed_at: u64,
) -> Option<(Weight, &'static str, String)> {
    let killed = |end: &Option<Terminated>| {
        let end = end.as_ref().filter(|end| end.reason == REASON)?;
        Some(end.finished_at.clone())
    };
    let restarts = container.restart_count;
    let value = |at: &str| match at {
        "" => format!("{REASON}, restarted {restarts} times"),
        at => format!("{REASON} at {at}, restarted {restarts} times"),
    };
    if let Some(at) = killed(&container.state.terminated) {
        return Some((Weight::Now, "state", value(&at)));
    }
    let at = killed(&container.last_state.terminated)?;
    let age = milliseconds(&at).and_then(|ended| age(ended, observed_at));
    let weight = match age {
        None => Weight::Once,
        Some(age) if age <= HOUR_MS => Weight::Now,
        Some(age) if age <= DAY_MS && restarts >= OFTEN => Weight::Now,
        Some(age) if age <= DAY_MS => Weight::Once,
        Some(_) => Weight::LongAgo,
    };
    Some((weight, "lastState", value(&at)))
}

/// How long before the observation it was. Clocks differ a little; what is told of
/// the day after is no time.
fn age(ended: u64, observed_at: u64) -> Option<u64> {
    let is_possible = ended <= observed_at.saturating_add(HOUR_MS);
    is_possible.then(|| observed_at.saturating_sub(ended))
}

/// Milliseconds since 1970 of a time as Kubernetes writes it, in UTC; parts of a
/// second are left out.
fn milliseconds(text: &str) -> Option<u64> {
    let shape = "dddd-dd-ddTdd:dd:dd";
    let (time, rest) = text.split_at_checked(shape.len())?;
    let fits = |(shape, byte): (u8, u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    };
    let is_utc = rest.ends_with('Z') && (rest.len() == 1 || rest.starts_with('.'));
    if !is_utc || !shape.bytes().zip(time.bytes()).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<u64> { time.get(from..to)?.parse().ok() };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_time = year >= 1970
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !is_time {
        return None;
    }
    // Years that begin in March end with the leap day.
    let (year_of_march, months) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year_of_march / 4 - year_of_march / 100 + year_of_march / 400;
    let days = year_of_march * 365 + leap_days + (153 * months + 2) / 5 + day - 1;
    let seconds = (days.checked_sub(DAYS_BEFORE_1970)? * 24 + hour) * 3600 + minute * 60 + second;
    Some(seconds * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_kubernetes_are_read_and_others_are_none() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:30:15Z", Some(951_827_415_000)),
            ("2025-10-09T08:53:20Z", Some(1_760_000_000_000)),
            ("2025-10-09T08:53:20.123456Z", Some(1_760_000_000_000)),
            ("2024-12-31T23:59:59Z", Some(1_735_689_599_000)),
            ("", None),
            ("2025-10-09", None),
            ("2025-10-09T08:53:20", None),
            ("2025-10-09T08:53:20+02:00", None),
            ("2025-13-09T08:53:20Z", None),
            ("2025-00-09T08:53:20Z", None),
            ("0000-01-01T00:00:00Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("2025-10-09T08:53:2\u{e9}Z", None),
            ("2025-10-09T08:53:20xZ", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text:?}");
        }
    }
}
