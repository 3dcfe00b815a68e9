//! A JSON body as rows: what inserts, updates and calls take their values from.

use bytes::Bytes;

use super::fragment::separated;
use super::statement::{Statement, Value};
use crate::rest::plan::PlannedField;

/// The rows of a JSON body.
pub(super) struct Body<'a> {
    /// The JSON text.
    pub json: Option<&'a Bytes>,
    /// Whether it is one object rather than an array.
    pub is_object: bool,
    /// What is taken out of each object.
    pub fields: &'a [PlannedField],
    /// Whether absent members become the columns' defaults rather than nulls.
    pub defaults: bool,
}

/// The name of the rows.
pub(super) const ROWS: &str = "pgrst_body";

impl Body<'_> {
    /// Appends an item for a FROM clause, named [`ROWS`], whose columns are the fields.
    pub(super) fn write_from(&self, out: &mut Statement, one_row: bool) {
        let transformed = self.fields.iter().any(|field| field.transform.is_some());
        let wrapped = transformed || one_row;
        if wrapped {
            out.push("(select ");
            separated(out, ", ", self.fields, |out, field| match &field.transform {
                Some(function) => {
                    out.push(function).push("(").ident(&field.name).push(") as ");
                    out.ident(&field.name);
                }
                None => {
                    out.ident(&field.name);
                }
            });
            out.push(" from ");
        }
        self.write_records(out);
        if wrapped {
            out.push(if one_row { " limit 1) as " } else { ") as " });
            out.push(ROWS);
        }
    }

    /// Appends `json_to_recordset(…) as pgrst_body(columns)`, or what stands for it when no column is written.
    fn write_records(&self, out: &mut Statement) {
        match (self.fields.is_empty(), self.is_object) {
            (true, true) => {
                out.push("(values (1)) as ").push(ROWS);
            }
            (true, false) => {
                out.push("json_array_elements(");
                self.bind(out, "::json");
                out.push(") as ").push(ROWS);
            }
            (false, is_object) => {
                if self.defaults && !is_object {
                    self.write_elements(out);
                    out.push(", lateral ");
                }
                out.push(match (self.defaults, is_object) {
                    (true, true) => "jsonb_to_record(",
                    (true, false) => "jsonb_to_recordset(",
                    (false, true) => "json_to_record(",
                    (false, false) => "json_to_recordset(",
                });
                self.write_source(out);
                out.push(") as ").push(ROWS).push("(");
                separated(out, ", ", self.fields, |out, field| {
                    out.ident(&field.name).push(" ").push(field.payload_type());
                });
                out.push(")");
            }
        }
    }

    fn write_source(&self, out: &mut Statement) {
        match (self.defaults, self.is_object) {
            (false, _) => self.bind(out, "::json"),
            (true, true) => {
                self.write_defaults(out);
                out.push(" || ");
                self.bind(out, "::jsonb");
            }
            (true, false) => {
                out.push("pgrst_elements.all_of_them");
            }
        }
    }

    /// Appends the array's objects, each over the columns' defaults.
    fn write_elements(&self, out: &mut Statement) {
        out.push("(select jsonb_agg(");
        self.write_defaults(out);
        out.push(" || elem) as all_of_them from jsonb_array_elements(");
        self.bind(out, "::jsonb");
        out.push(") as elem) as pgrst_elements");
    }

    /// Appends an object of the columns' defaults, evaluated once for each place it stands in.
    fn write_defaults(&self, out: &mut Statement) {
        out.push("jsonb_build_object(");
        let fields = self
            .fields
            .iter()
            .filter_map(|field| Some((field, field.default.as_ref()?)));
        separated(out, ", ", fields, |out, (field, default)| {
            out.literal(&field.name).push(", ").push(default);
        });
        out.push(")");
    }

    fn bind(&self, out: &mut Statement, cast: &str) {
        out.bind(self.json.cloned().map_or(Value::Null, Value::Body))
            .push(cast);
    }
}
