//! News of a diagnosis.

use naosu_engine::facade::DiagnoseProgress;
use naosu_proto::v1::{self, diagnose_response::Progress};

use super::{Wire, WireError};

impl Wire<v1::DiagnoseResponse> for DiagnoseProgress {
    fn into_wire(self) -> v1::DiagnoseResponse {
        let progress = match self {
            Self::Reading { what } => Progress::Reading(v1::ReadingProgress { what }),
            Self::Read {
                what,
                elapsed_ms,
                ok,
            } => Progress::Read(v1::ReadProgress {
                what,
                elapsed_ms,
                ok,
            }),
            Self::Judged { plugin, judgement } => Progress::Judged(v1::JudgedProgress {
                plugin,
                judgement: judgement.map(Wire::into_wire).unwrap_or_default(),
            }),
            Self::Finished { diagnosis } => Progress::Finished(diagnosis.into_wire()),
        };
        v1::DiagnoseResponse {
            progress: Some(progress),
        }
    }

    fn from_wire(wire: v1::DiagnoseResponse) -> Result<Self, WireError> {
        Ok(match wire.progress {
            Some(Progress::Reading(v1::ReadingProgress { what })) => Self::Reading { what },
            Some(Progress::Read(v1::ReadProgress {
                what,
                elapsed_ms,
                ok,
            })) => Self::Read {
                what,
                elapsed_ms,
                ok,
            },
            Some(Progress::Judged(v1::JudgedProgress { plugin, judgement })) => Self::Judged {
                plugin,
                judgement: if judgement == i32::from(v1::Judgement::Unspecified) {
                    None
                } else {
                    Some(Wire::from_wire(judgement).map_err(|e| e.within("judged.judgement"))?)
                },
            },
            Some(Progress::Finished(diagnosis)) => Self::Finished {
                diagnosis: Box::new(Wire::from_wire(diagnosis).map_err(|e| e.within("finished"))?),
            },
            None => return Err(WireError::new("progress is missing")),
        })
    }
}
