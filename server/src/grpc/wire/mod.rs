//! Between the model and `naosu.v1`, both ways, nothing lost.

mod diagnosis;
mod effect;
mod flow;
mod macros;
mod observation;
mod plan;
mod plugin;
mod progress;
mod run;
mod scalar;
mod tunnel;

pub use scalar::code_of_text;

use naosu_engine::{Code, Error};

/// A value of the model that has the wire form `W`.
pub trait Wire<W>: Sized {
    /// Gives the wire form.
    fn into_wire(self) -> W;

    /// Reads the wire form.
    ///
    /// # Errors
    /// When a field is missing or holds what the model cannot have.
    fn from_wire(wire: W) -> Result<Self, WireError>;
}

/// Why a message has no meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct WireError {
    /// Path of the field: `content.steps[2].effect`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl WireError {
    fn new(problem: impl Into<String>) -> Self {
        Self {
            field: String::new(),
            problem: problem.into(),
        }
    }

    fn within(mut self, outer: &str) -> Self {
        self.field = match self.field.as_str() {
            "" => outer.to_owned(),
            inner if inner.starts_with('[') => format!("{outer}{inner}"),
            inner => format!("{outer}.{inner}"),
        };
        self
    }

    /// The error of a caller who sent such a message.
    pub fn of_request(self) -> Error {
        Error::new(
            Code::InvalidParameter,
            format!("the request is malformed: {self}"),
            "see the field's comment in the .proto files of naosu.v1",
        )
    }

    /// The error of a server that answered such a message.
    pub fn of_response(self) -> Error {
        Error::new(
            Code::Internal,
            format!("the server's answer is malformed: {self}"),
            "use the same version of naosu on both sides",
        )
    }
}
