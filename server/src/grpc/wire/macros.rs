//! What would else be written out for every message: a struct whose fields
//! have the same names on both sides, and an enum with the same variants.

/// A struct and its message: first the fields with one name on both sides, then
/// those with two, then what is only told, of the whole. A field that is added on
/// one side alone does not compile.
macro_rules! wire_message {
    ($model:ty = $message:ty { $($same:ident),* $(,)? $(; $($field:ident => $wire:ident),* $(,)?)? $(| $($told:ident = $of:path),*)? }) => {
        impl $crate::grpc::wire::Wire<$message> for $model {
            fn into_wire(self) -> $message {
                $($(let $told = $of(&self);)*)?
                let Self { $($same,)* $($($field),*)? } = self;
                type Message = $message;
                Message {
                    $($same: $crate::grpc::wire::Wire::into_wire($same),)*
                    $($($wire: $crate::grpc::wire::Wire::into_wire($field),)*)?
                    $($($told: $crate::grpc::wire::Wire::into_wire($told),)*)?
                }
            }

            fn from_wire(wire: $message) -> Result<Self, $crate::grpc::wire::WireError> {
                Ok(Self {
                    $($same: $crate::grpc::wire::Wire::from_wire(wire.$same)
                        .map_err(|e| e.within(stringify!($same)))?,)*
                    $($($field: $crate::grpc::wire::Wire::from_wire(wire.$wire)
                        .map_err(|e| e.within(stringify!($wire)))?),*)?
                })
            }
        }
        $crate::grpc::wire::macros::wire_optional_and_list!($model, $message);
    };
}

/// What every message has: being absent is an error, and lists.
macro_rules! wire_optional_and_list {
    ($model:ty, $message:ty) => {
        impl $crate::grpc::wire::Wire<Option<$message>> for $model {
            fn into_wire(self) -> Option<$message> {
                Some($crate::grpc::wire::Wire::into_wire(self))
            }

            fn from_wire(wire: Option<$message>) -> Result<Self, $crate::grpc::wire::WireError> {
                match wire {
                    Some(message) => $crate::grpc::wire::Wire::from_wire(message),
                    None => Err($crate::grpc::wire::WireError::new("is missing")),
                }
            }
        }
        $crate::grpc::wire::macros::wire_list!($model, $message);
    };
}

/// What may be absent.
macro_rules! wire_optional {
    ($model:ty, $message:ty) => {
        impl $crate::grpc::wire::Wire<Option<$message>> for Option<$model> {
            fn into_wire(self) -> Option<$message> {
                self.map($crate::grpc::wire::Wire::into_wire)
            }

            fn from_wire(wire: Option<$message>) -> Result<Self, $crate::grpc::wire::WireError> {
                wire.map($crate::grpc::wire::Wire::from_wire).transpose()
            }
        }
    };
}

/// Lists of what has a wire form; an error names the index.
macro_rules! wire_list {
    ($model:ty, $wire:ty) => {
        impl $crate::grpc::wire::Wire<Vec<$wire>> for Vec<$model> {
            fn into_wire(self) -> Vec<$wire> {
                self.into_iter()
                    .map($crate::grpc::wire::Wire::into_wire)
                    .collect()
            }

            fn from_wire(wire: Vec<$wire>) -> Result<Self, $crate::grpc::wire::WireError> {
                wire.into_iter()
                    .enumerate()
                    .map(|(index, item)| {
                        $crate::grpc::wire::Wire::from_wire(item).map_err(
                            |e: $crate::grpc::wire::WireError| e.within(&format!("[{index}]")),
                        )
                    })
                    .collect()
            }
        }
    };
}

/// An enum without content: the same variants, and the wire's zero is an error.
macro_rules! wire_enum {
    ($model:ty = $wire:ty { $($variant:ident),* $(,)? }) => {
        impl $crate::grpc::wire::Wire<i32> for $model {
            fn into_wire(self) -> i32 {
                let wire = match self { $(Self::$variant => <$wire>::$variant),* };
                wire.into()
            }

            fn from_wire(number: i32) -> Result<Self, $crate::grpc::wire::WireError> {
                match <$wire>::try_from(number) {
                    $(Ok(<$wire>::$variant) => Ok(Self::$variant),)*
                    Ok(<$wire>::Unspecified) => {
                        Err($crate::grpc::wire::WireError::new("is not given"))
                    }
                    Err(_) => Err($crate::grpc::wire::WireError::new(format!(
                        "{number} is not one of its values"
                    ))),
                }
            }
        }
    };
}

pub(crate) use {wire_enum, wire_list, wire_message, wire_optional, wire_optional_and_list};
