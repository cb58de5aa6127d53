//! The wire form of single values.

use jiff::Timestamp;
use naosu_engine::{
    Code, Error,
    model::{ClusterId, DiagnosisId, Digest, PlanId, RunId},
};
use naosu_proto::v1;

use super::{Wire, WireError, macros::wire_optional_and_list};

/// Types that are the same on both sides.
macro_rules! wire_same {
    ($($same:ty),* $(,)?) => {$(
        impl Wire<$same> for $same {
            fn into_wire(self) -> $same {
                self
            }

            fn from_wire(wire: $same) -> Result<Self, WireError> {
                Ok(wire)
            }
        }
    )*};
}

wire_same!(bool, u32, u64, String, Option<String>, Vec<String>);

/// Ids: any text; whether there is such a thing is the engine's to say.
macro_rules! wire_id {
    ($($id:ident),*) => {$(
        impl Wire<String> for $id {
            fn into_wire(self) -> String {
                self.0
            }

            fn from_wire(wire: String) -> Result<Self, WireError> {
                Ok(Self(wire))
            }
        }
    )*};
}

wire_id!(DiagnosisId, PlanId, RunId);

impl Wire<Option<String>> for Option<RunId> {
    fn into_wire(self) -> Option<String> {
        self.map(Wire::into_wire)
    }

    fn from_wire(wire: Option<String>) -> Result<Self, WireError> {
        wire.map(Wire::from_wire).transpose()
    }
}

impl Wire<u32> for u16 {
    fn into_wire(self) -> u32 {
        self.into()
    }

    fn from_wire(wire: u32) -> Result<Self, WireError> {
        Self::try_from(wire).map_err(|_| WireError::new(format!("{wire} is above 65535")))
    }
}

impl Wire<Vec<u32>> for Vec<u16> {
    fn into_wire(self) -> Vec<u32> {
        self.into_iter().map(Wire::into_wire).collect()
    }

    fn from_wire(wire: Vec<u32>) -> Result<Self, WireError> {
        wire.into_iter().map(Wire::from_wire).collect()
    }
}

impl Wire<String> for ClusterId {
    fn into_wire(self) -> String {
        self.into()
    }

    fn from_wire(wire: String) -> Result<Self, WireError> {
        wire.parse().map_err(|e: Error| WireError::new(e.message))
    }
}

impl Wire<String> for Digest {
    fn into_wire(self) -> String {
        self.as_str().to_owned()
    }

    fn from_wire(wire: String) -> Result<Self, WireError> {
        Self::parse(&wire).ok_or_else(|| {
            WireError::new(format!(
                "{wire:?} is not \"sha256:\" and 64 lower-case hex digits"
            ))
        })
    }
}

impl Wire<String> for serde_json::Value {
    fn into_wire(self) -> String {
        self.to_string()
    }

    fn from_wire(wire: String) -> Result<Self, WireError> {
        serde_json::from_str(&wire).map_err(|e| WireError::new(format!("is not JSON: {e}")))
    }
}

impl Wire<Option<String>> for Option<serde_json::Value> {
    fn into_wire(self) -> Option<String> {
        self.map(Wire::into_wire)
    }

    fn from_wire(wire: Option<String>) -> Result<Self, WireError> {
        wire.map(Wire::from_wire).transpose()
    }
}

impl Wire<String> for Code {
    fn into_wire(self) -> String {
        self.as_str().to_owned()
    }

    fn from_wire(wire: String) -> Result<Self, WireError> {
        code_of_text(&wire)
            .ok_or_else(|| WireError::new(format!("{wire:?} is no code of this version")))
    }
}

/// The code with this stable text.
pub fn code_of_text(text: &str) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| code.as_str() == text)
}

impl Wire<v1::Error> for Error {
    fn into_wire(self) -> v1::Error {
        v1::Error {
            code: self.code.into_wire(),
            message: self.message,
            next: self.next,
        }
    }

    /// A code of a later version is kept in the message: one such error must
    /// not make a whole diagnosis unreadable.
    fn from_wire(wire: v1::Error) -> Result<Self, WireError> {
        Ok(match code_of_text(&wire.code) {
            Some(code) => Self::new(code, wire.message, wire.next),
            None => Self::new(
                Code::Internal,
                format!("{}: {}", wire.code, wire.message),
                wire.next,
            ),
        })
    }
}
wire_optional_and_list!(Error, v1::Error);

const NANOSECONDS_A_SECOND: i32 = 1_000_000_000;

impl Wire<Option<prost_types::Timestamp>> for Timestamp {
    fn into_wire(self) -> Option<prost_types::Timestamp> {
        // The wire counts nanoseconds forwards, also before 1970.
        let (seconds, nanos) = (self.as_second(), self.subsec_nanosecond());
        Some(if nanos < 0 {
            prost_types::Timestamp {
                seconds: seconds - 1,
                nanos: nanos + NANOSECONDS_A_SECOND,
            }
        } else {
            prost_types::Timestamp { seconds, nanos }
        })
    }

    fn from_wire(wire: Option<prost_types::Timestamp>) -> Result<Self, WireError> {
        let wire = wire.ok_or_else(|| WireError::new("is missing"))?;
        Self::new(wire.seconds, wire.nanos)
            .map_err(|e| WireError::new(format!("is not a time: {e}")))
    }
}
