//! Packets in words.

use naosu_engine::model::{Delta, Flow};
use naosu_flow::delta::{DeltaReport, FlowBox};

use crate::cli::page::{Page, Tone};

/// "TCP 10250 from 10.224.0.0/16 to 10.224.0.0/16".
pub fn required(flow: &Flow) -> String {
    format!(
        "{} {} from {} to {}",
        flow.protocol.to_uppercase(),
        flow.destination_ports.join(", "),
        flow.source_prefixes.join(", "),
        flow.destination_prefixes.join(", "),
    )
}

/// Boxes, those that differ in the protocol alone as one:
/// "inbound TCP, UDP 10250 from 10.224.0.0/16 to any".
pub fn flow_boxes(flows: &[FlowBox]) -> Vec<String> {
    let alike = |a: &FlowBox, b: &FlowBox| {
        let with_its_protocol = FlowBox {
            protocol: b.protocol.clone(),
            ..a.clone()
        };
        a.protocol != b.protocol && with_its_protocol == *b
    };
    flows.chunk_by(alike).filter_map(of_protocols).collect()
}

fn of_protocols(flows: &[FlowBox]) -> Option<String> {
    let flow = flows.first()?;
    let protocols: Vec<String> = flows.iter().map(|flow| protocol(&flow.protocol)).collect();
    let ports = match every_port(&flow.ports) {
        true => String::new(),
        false => format!(" {}", flow.ports.join(", ")),
    };
    let direction = match flow.direction.as_str() {
        "any" => String::new(),
        direction => format!("{direction} "),
    };
    let mut words = format!(
        "{direction}{}{ports} from {}",
        protocols.join(", "),
        flow.sources_in_words()
    );
    if !every_port(&flow.source_ports) {
        words.push_str(&format!(" port {}", flow.source_ports.join(", ")));
    }
    words.push_str(&format!(" to {}", flow.destinations_in_words()));
    if flow.state != ["new", "established"] {
        words.push_str(&format!(", {} connections", flow.state.join(", ")));
    }
    if !flow.conditions.is_empty() {
        words.push_str(&format!(", depending on: {}", flow.conditions.join("; ")));
    }
    Some(words)
}

fn protocol(name: &str) -> String {
    match name {
        "any" => "any protocol".to_owned(),
        number if number.parse::<u8>().is_ok() => format!("protocol {number}"),
        range if range.starts_with(|c: char| c.is_ascii_digit()) => format!("protocols {range}"),
        name => name.to_owned(),
    }
}

/// Every port, or none there is.
fn every_port(ports: &[String]) -> bool {
    ports.is_empty() || ports == ["0-65535"]
}

/// Which packets a step lets pass or stops.
pub fn delta(page: &mut Page, delta: &Delta) {
    match delta {
        Delta::NotAFirewall => page.field(2, "Packets", Tone::Plain, "touches no firewall"),
        Delta::Unknown { error } => {
            let words = format!(
                "NOT KNOWN which packets it lets pass or stops: {} ({})",
                error.message,
                error.code.as_str()
            );
            page.field(2, "Packets", Tone::Bad, &words);
        }
        Delta::Computed { report, excess } => {
            delta_report(page, report);
            // A list that was just shown is not shown again.
            if !excess.is_empty() && *excess == report.newly_allowed {
                let words = "WIDER THAN THE FINDING NEEDS, by each that is newly allowed.";
                page.words(2, Tone::Bad, words);
            } else if !excess.is_empty() {
                let title = "WIDER THAN THE FINDING NEEDS, by:";
                boxes(page, title, "! ", Tone::Bad, excess);
            }
        }
    }
}

/// The packets whose verdict changes or may change.
pub fn delta_report(page: &mut Page, report: &DeltaReport) {
    boxes(
        page,
        "Newly allowed:",
        "+ ",
        Tone::Good,
        &report.newly_allowed,
    );
    boxes(page, "Newly denied:", "- ", Tone::Bad, &report.newly_denied);
    if !report.unknown.is_empty() || !report.atoms.is_empty() {
        boxes(page, "NOT KNOWN:", "? ", Tone::Caution, &report.unknown);
        let shown = shown_of(page, report.atoms.len());
        for atom in report.atoms.iter().take(shown) {
            let words = shortened(page, format!("{}: {}", atom.name, atom.reason));
            page.item(4, "because ", Tone::Plain, &words);
        }
        left_out(page, report.atoms.len() - shown);
    }
}

fn boxes(page: &mut Page, title: &str, mark: &str, tone: Tone, flows: &[FlowBox]) {
    if flows.is_empty() {
        page.line(2, Tone::Plain, &format!("{title} nothing"));
        return;
    }
    page.line(2, Tone::Plain, title);
    let flows = flow_boxes(flows);
    let shown = shown_of(page, flows.len());
    let left = flows.len() - shown;
    for words in flows.into_iter().take(shown) {
        let words = shortened(page, words);
        page.item(4, mark, tone, &words);
    }
    left_out(page, left);
}

/// How many packet sets of a list are shown where not all are asked for.
const SHOWN_AT_MOST: usize = 8;
/// And how many characters of one: types of ICMP alone can be a screenful.
const CHARS_AT_MOST: usize = 300;

fn shown_of(page: &Page, length: usize) -> usize {
    if page.is_full() {
        length
    } else {
        length.min(SHOWN_AT_MOST)
    }
}

/// The text, or its beginning and how to read the rest.
pub fn shortened(page: &Page, text: String) -> String {
    if page.is_full() || text.chars().count() <= CHARS_AT_MOST {
        return text;
    }
    let begin: String = text.chars().take(CHARS_AT_MOST).collect();
    format!("{begin}… (--full shows all)")
}

fn left_out(page: &mut Page, count: usize) {
    if count > 0 {
        let words = format!("… and {count} more; all of it: --full, or --output json");
        page.line(4, Tone::Caution, &words);
    }
}
