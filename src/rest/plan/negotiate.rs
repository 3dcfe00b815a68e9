//! Which of the accepted media types is written, and by what.

use super::media::{mime, parse};
use super::read::ReadNode;
use super::{Handler, Output};
use crate::rest::error::RequestError;
use crate::rest::request::MediaType;
use crate::rest::settings::RestSettings;
use crate::schema_cache::{HandlerTarget, QualifiedName, SchemaCache};

/// Takes the first accepted media type that can be written. `source` is the relation, or the function if its result is
/// no relation's.
pub(super) fn negotiate(
    accept: &[MediaType],
    cache: &SchemaCache,
    settings: &RestSettings,
    source: &QualifiedName,
    read: &ReadNode,
) -> Result<Output, RequestError> {
    let offer = Offer {
        cache,
        plan: settings.plan,
        source: selects_whole_rows(read).then_some(source),
    };
    accept
        .iter()
        .find_map(|wanted| offer.output(wanted))
        .ok_or_else(|| unavailable(accept))
}

/// None of these can be written.
pub(super) fn unavailable(accept: &[MediaType]) -> RequestError {
    RequestError::MediaTypes(accept.iter().map(|wanted| mime(wanted).into_owned()).collect())
}

/// Whether rows are read as they are. The database's own handlers take a relation's rows, not selections of them.
fn selects_whole_rows(read: &ReadNode) -> bool {
    match read.plan.select.as_slice() {
        [item] => item.field.name == "*" && item.aggregate.is_none() && read.children.is_empty(),
        _ => false,
    }
}

struct Offer<'a> {
    cache: &'a SchemaCache,
    plan: bool,
    /// Whose handlers apply.
    source: Option<&'a QualifiedName>,
}

impl Offer<'_> {
    fn output(&self, wanted: &MediaType) -> Option<Output> {
        let output = match wanted {
            MediaType::Object { .. } | MediaType::ArrayStripped => Output {
                handler: vendored(wanted)?,
                media_type: wanted.clone(),
            },
            MediaType::Plan { .. } if !self.plan => return None,
            MediaType::Plan { target, .. } => Output {
                handler: vendored(target).or_else(|| Some(self.written(target)?.handler))?,
                media_type: wanted.clone(),
            },
            _ => self.written(wanted)?,
        };
        Some(output)
    }

    /// What the database's handlers or ours write: those of the relation come first, `*/*` among them, then those of
    /// any row, then ours.
    fn written(&self, wanted: &MediaType) -> Option<Output> {
        self.custom(wanted).or_else(|| {
            let (handler, media_type) = match wanted {
                MediaType::Json | MediaType::Any => (Handler::Json, MediaType::Json),
                MediaType::Csv => (Handler::Csv, MediaType::Csv),
                MediaType::GeoJson if self.cache.geojson => (Handler::GeoJson, MediaType::GeoJson),
                _ => return None,
            };
            Some(Output { handler, media_type })
        })
    }

    fn custom(&self, wanted: &MediaType) -> Option<Output> {
        let handlers = &self.cache.media_handlers;
        if handlers.is_empty() {
            return None;
        }
        let name = mime(wanted);
        let name = name
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let mut key = (HandlerTarget::Any, name);
        let mut found = None;
        if let Some(source) = self.source {
            let any = (HandlerTarget::Relation(source.clone()), "*/*".to_owned());
            found = handlers.get(&any).or_else(|| {
                key.0 = any.0;
                handlers.get(&key)
            });
        }
        let found = found.or_else(|| {
            key.0 = HandlerTarget::Any;
            handlers.get(&key)
        })?;
        Some(Output {
            handler: Handler::Custom {
                function: found.function.clone(),
                target: match &found.target {
                    HandlerTarget::Relation(relation) => Some(relation.clone()),
                    HandlerTarget::Any => None,
                },
            },
            media_type: parse(&found.media_type),
        })
    }
}

/// What writes media types of our own, which no handler of the database's replaces.
fn vendored(wanted: &MediaType) -> Option<Handler> {
    match wanted {
        MediaType::Object { stripped } => Some(Handler::SingleJson { stripped: *stripped }),
        MediaType::ArrayStripped => Some(Handler::JsonStripped),
        _ => None,
    }
}
