//! Values of the model made from its own JSON schema: every variant, every
//! optional field, the limits of numbers. A variant that is added is covered
//! without a word here.

use naosu_engine::model::Digest;
use proptest::prelude::*;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::product::CLUSTER;

/// Lists are short; depth comes from the schema and ends with it.
const MAX_ITEMS: usize = 2;

/// Any value of `T`.
pub fn any_of<T: JsonSchema + DeserializeOwned + std::fmt::Debug + 'static>() -> BoxedStrategy<T> {
    let root = SchemaGenerator::default().into_root_schema_for::<T>();
    let root = root.to_value();
    any::<prop::sample::Index>()
        .prop_perturb(move |_, mut random| {
            let value = instance(&root, &root, &mut random);
            serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{e} in {value:#}"))
        })
        .boxed()
}

type Random = proptest::test_runner::TestRng;

fn instance(schema: &Value, root: &Value, random: &mut Random) -> Value {
    // Beside properties, a reference is the content of a tagged variant.
    if let Some(reference) = schema["$ref"].as_str()
        && !schema["properties"].is_object()
    {
        let name = reference.rsplit('/').next().unwrap();
        return match name {
            "ClusterId" => json!(CLUSTER),
            "Digest" => json!(Digest::of_bytes(&random.random::<[u8; 8]>())),
            name => instance(&root["$defs"][name], root, random),
        };
    }
    for several in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[several].as_array() {
            let chosen = &choices[random.random_range(0..choices.len())];
            let mut value = instance(chosen, root, random);
            // A tagged variant with named content has both side by side.
            if let (Some(inner), true) = (value.as_object_mut(), schema["properties"].is_object()) {
                let mut own = schema.clone();
                own.as_object_mut().unwrap().remove(several);
                let outer = instance(&own, root, random);
                inner.extend(outer.as_object().unwrap().clone());
            }
            return value;
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        return values[random.random_range(0..values.len())].clone();
    }
    if !schema["const"].is_null() {
        return schema["const"].clone();
    }
    match &schema["type"] {
        Value::String(kind) => typed(kind, schema, root, random),
        Value::Array(kinds) => {
            let kind = kinds[random.random_range(0..kinds.len())].as_str().unwrap();
            typed(kind, schema, root, random)
        }
        // Any JSON.
        _ => json!({"n": 1.5, "i": -7, "t": text(random), "list": [null, true]}),
    }
}

fn typed(kind: &str, schema: &Value, root: &Value, random: &mut Random) -> Value {
    match kind {
        "null" => Value::Null,
        "boolean" => json!(random.random::<bool>()),
        "integer" => integer(schema, random),
        "number" => json!(random.random::<f64>()),
        "string" if schema["format"] == "date-time" => json!(time(random)),
        "string" => json!(text(random)),
        "array" => (0..random.random_range(0..=MAX_ITEMS))
            .map(|_| instance(&schema["items"], root, random))
            .collect(),
        "object" => {
            let mut object: Map<String, Value> = schema["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, schema)| {
                    let value = match name.as_str() {
                        // Its schema is that of any text; its parser is stricter.
                        "cluster" => json!(CLUSTER),
                        _ => instance(schema, root, random),
                    };
                    (name.clone(), value)
                })
                .collect();
            if let Some(reference) = schema["$ref"].as_str() {
                let name = reference.rsplit('/').next().unwrap();
                let inner = instance(&root["$defs"][name], root, random);
                object.extend(inner.as_object().unwrap().clone());
            }
            Value::Object(object)
        }
        kind => panic!("schema type {kind}"),
    }
}

fn integer(schema: &Value, random: &mut Random) -> Value {
    let limit = match schema["format"].as_str() {
        Some("uint16") => u64::from(u16::MAX),
        Some("uint32") => u64::from(u32::MAX),
        _ => u64::MAX,
    };
    let choices = [0, 1, limit, random.random_range(0..limit)];
    json!(choices[random.random_range(0..choices.len())])
}

fn text(random: &mut Random) -> String {
    const TEXTS: [&str; 7] = [
        "",
        "10250",
        "直す",
        "\u{1b}[31m",
        "a\nb\0",
        "\"\\",
        "\u{202e}x",
    ];
    TEXTS[random.random_range(0..TEXTS.len())].to_owned()
}

/// From before 1970 to far ahead, with nanoseconds.
fn time(random: &mut Random) -> jiff::Timestamp {
    let second = random.random_range(-60_000_000_000i64..250_000_000_000);
    let nanosecond = [0, 1, 999_999_999][random.random_range(0..3usize)];
    jiff::Timestamp::new(second, nanosecond).unwrap()
}
