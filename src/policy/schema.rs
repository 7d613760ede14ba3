//! `tocsin policy schema`: what an editor knows of a policy file: names, types, ranges, defaults, rows of the notice.

use serde_json::{Map, Value, json};
use tocsin_pipeline::policy::{Field, Kind, SECTIONS, Section};

use crate::exit::{CommandResult, Failure};
use crate::output::say;

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
///
/// # Errors
/// None that is known.
pub fn run(_args: &Args) -> CommandResult {
    say!("{}", serde_json::to_string_pretty(&schema()).map_err(Failure::failed)?);
    Ok(())
}

/// JSON Schema, draft 7, which the TOML editors read. What a schema cannot say (thresholds rise, one table for each
/// day) is said in words, and by `tocsin policy check`.
fn schema() -> Value {
    let mut properties = Map::new();
    properties.insert(
        "effective_from".to_owned(),
        json!({
            "description": "The first day on which this table holds, such as 2020-11-20 (S1). One table for each day.",
            "type": "string",
            "format": "date",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
            "x-rows": ["S1"],
        }),
    );
    properties.extend(SECTIONS.iter().map(|s| (s.name.to_owned(), section(s))));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Policy of Tocsin",
        "description": "Every threshold that decides who is told. S1 and the like are rows of the city's notice.",
        "type": "object",
        "required": ["policy"],
        "additionalProperties": false,
        "properties": {
            "policy": {
                "description": "Tables, each in force from its day until the next one's.",
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["effective_from"],
                    "additionalProperties": false,
                    "properties": properties,
                },
            },
        },
    })
}

fn section(section: &Section) -> Value {
    let rising = match section.rising {
        [] => String::new(),
        names => format!(" {} may not fall from one to the next.", names.join(", ")),
    };
    let fields: Map<String, Value> = section.fields.iter().map(|f| (f.name.to_owned(), field(f))).collect();
    json!({
        "description": format!("{}{rising}", section.about.trim()),
        "type": "object",
        "additionalProperties": false,
        "properties": fields,
    })
}

fn field(field: &Field) -> Value {
    let mut of = match field.kind {
        Kind::Flag { .. } => json!({"type": "boolean"}),
        Kind::Whole { min, max, .. } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Number { min, max, .. } => json!({"type": "number", "minimum": min, "maximum": max}),
    };
    of["default"] = json!(field.default());
    of["description"] = json!(field.about.trim());
    of["x-rows"] = json!(field.rows());
    of
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By a validator that knows nothing of Tocsin.
    fn judged(text: &str) -> Result<(), String> {
        let mut schemas = boon::Schemas::new();
        let mut compiler = boon::Compiler::new();
        compiler.add_resource("policy.json", schema()).unwrap();
        let index = compiler.compile("policy.json", &mut schemas).unwrap();
        let document = serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
        schemas.validate(&document, index).map_err(|e| e.to_string())
    }

    #[test]
    fn the_policy_that_is_delivered_is_valid_by_the_schema() {
        judged(include_str!("../../deploy/policy.toml")).unwrap();
    }

    #[test]
    fn what_the_reader_refuses_the_schema_refuses() {
        let of = |rest: &str| format!("[[policy]]\neffective_from = \"2020-11-20\"\n{rest}");
        for (wrong, part) in [
            (of("escalation.gren = 3"), "gren"),
            (of("colour = 1"), "colour"),
            (of("escalation.blue = 0"), "/escalation/blue"),
            (of("escalation.blue = \"2\""), "/escalation/blue"),
            (of("escalation.blue = 2.5"), "/escalation/blue"),
            (of("escalation.severe_is_red = 1"), "/severe_is_red"),
            (of("severity.severe_grade_max = 11"), "/severe_grade_max"),
            ("[[policy]]\nescalation.blue = 1".to_owned(), "effective_from"),
            ("policy = []".to_owned(), "/policy"),
        ] {
            assert!(tocsin_pipeline::Policies::parse(&wrong).is_err(), "{wrong}");
            let said = judged(&wrong).expect_err(&wrong);
            assert!(said.contains(part), "{wrong}: {said}");
        }
    }

    #[test]
    fn every_field_has_its_default_its_range_and_its_rows() {
        let schema = schema();
        let table = &schema["properties"]["policy"]["items"]["properties"];
        assert_eq!(
            table["escalation"]["properties"]["yellow"],
            json!({
                "type": "integer", "minimum": 1, "maximum": 100_000, "default": 3, "description": "Incidents for yellow (S20).",
                "x-rows": ["S20"],
            })
        );
        assert!(table["escalation"]["description"].as_str().unwrap().contains("blue, yellow, orange, red"));
        for section in SECTIONS {
            for field in section.fields {
                let of = &table[section.name]["properties"][field.name];
                assert!(of["description"].as_str().unwrap().contains("(S"), "{of}");
            }
        }
    }
}
