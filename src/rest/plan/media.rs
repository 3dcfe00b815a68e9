//! Media types by their names.

use std::borrow::Cow;

use crate::rest::request::{MediaType, PlanFormat, PlanOption};

/// The name of a media type, with its parameters.
pub(super) fn mime(media_type: &MediaType) -> Cow<'_, str> {
    Cow::Borrowed(match media_type {
        MediaType::Json => "application/json",
        MediaType::GeoJson => "application/geo+json",
        MediaType::Csv => "text/csv",
        MediaType::Text => "text/plain",
        MediaType::Xml => "text/xml",
        MediaType::OpenApi => "application/openapi+json",
        MediaType::Form => "application/x-www-form-urlencoded",
        MediaType::OctetStream => "application/octet-stream",
        MediaType::Any => "*/*",
        MediaType::ArrayStripped => "application/vnd.pgrst.array+json;nulls=stripped",
        MediaType::Object { stripped: true } => "application/vnd.pgrst.object+json;nulls=stripped",
        MediaType::Object { stripped: false } => "application/vnd.pgrst.object+json",
        MediaType::Other(name) => name,
        MediaType::Plan {
            target,
            format,
            options,
        } => return Cow::Owned(plan(target, *format, options)),
    })
}

fn plan(target: &MediaType, format: PlanFormat, options: &[PlanOption]) -> String {
    let format = match format {
        PlanFormat::Json => "json",
        PlanFormat::Text => "text",
    };
    let mut name = format!("application/vnd.pgrst.plan+{format}; for=\"{}\"", mime(target));
    for (n, option) in options.iter().enumerate() {
        name.push_str(if n == 0 { "; options=" } else { "|" });
        name.push_str(match option {
            PlanOption::Analyze => "analyze",
            PlanOption::Verbose => "verbose",
            PlanOption::Settings => "settings",
            PlanOption::Buffers => "buffers",
            PlanOption::Wal => "wal",
        });
    }
    name
}

/// The media type of a name without parameters, as the database's handlers carry it.
pub(super) fn parse(name: &str) -> MediaType {
    match name {
        "application/json" => MediaType::Json,
        "application/geo+json" => MediaType::GeoJson,
        "text/csv" => MediaType::Csv,
        "text/plain" => MediaType::Text,
        "text/xml" => MediaType::Xml,
        "application/openapi+json" => MediaType::OpenApi,
        "application/x-www-form-urlencoded" => MediaType::Form,
        "application/octet-stream" => MediaType::OctetStream,
        "*/*" => MediaType::Any,
        other => MediaType::Other(other.to_owned()),
    }
}
