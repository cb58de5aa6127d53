//! `naosu flow`: answers about firewall rules from files alone.

mod answer;
mod asked;
mod between;
mod delta;
mod explain;
mod hop;
mod machine;
mod node;
mod parameter;
mod place;
mod read;
mod resource;
mod stays;
mod ufw;

pub use answer::{
    DeltaAnswer, Explanation, FlowAnswer, HopRule, NoFreePriority, PlaceAnswer, Placed,
    SetExplanation,
};

use explain::Explained;
use naosu_engine::{Code, Error};
use naosu_flow::set::AnalysisTooComplex;

use crate::cli::{args::FlowCommand, exit::Exit, output::Printer, render};

/// Answers the question.
///
/// # Errors
/// `invalid_parameter`, `ruleset_malformed`, `analysis_too_complex`.
pub fn flow(question: &FlowCommand, printer: &Printer) -> Result<Exit, Error> {
    let answer = match question {
        FlowCommand::Explain(args) => match explain::explain(args)? {
            Explained::Packet(explanation) => FlowAnswer::Explain(explanation),
            Explained::Set(explanation) => FlowAnswer::ExplainSet(explanation),
        },
        FlowCommand::Delta(args) => FlowAnswer::Delta(delta::delta(args)?),
        FlowCommand::Place(args) => FlowAnswer::Place(place::place(args)?),
        FlowCommand::Schema => {
            let schema = schemars::schema_for!(FlowAnswer);
            printer.verbatim(&format!("{:#}\n", schema.to_value()));
            return Ok(Exit::Success);
        }
    };
    printer.value(&answer, render::flow_answer);
    Ok(Exit::Success)
}

fn too_complex(error: &AnalysisTooComplex) -> Error {
    Error::new(
        Code::AnalysisTooComplex,
        error.to_string(),
        "simplify the rules first, or judge them by their text",
    )
}
