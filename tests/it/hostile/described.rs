//! The functions as the OpenAPI document describes them: what they read, and what they answer.

use dropwire::functions::service;
use serde_json::{Map, Value};

use crate::support::Answer;

/// One function.
pub struct Function {
    /// Its name in the path.
    pub name: String,
    /// What it reads, unless it ignores its body.
    pub request: Option<Request>,
    operation: Value,
    document: Value,
}

/// The body that a function reads.
pub struct Request {
    pub example: Map<String, Value>,
    required: Vec<String>,
    properties: Vec<String>,
}

/// Every function of the document.
pub fn functions() -> Vec<Function> {
    let document: Value = serde_json::from_str(&service("").spec()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let functions = paths.iter().map(|(path, methods)| {
        let operation = methods["post"].clone();
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        Function {
            name: path.strip_prefix("/functions/v1/").unwrap().to_owned(),
            request: schemas(&document, body)
                .first()
                .map(|schema| Request::new(schema)),
            operation,
            document: document.clone(),
        }
    });
    functions.collect()
}

impl Request {
    fn new(schema: &Value) -> Self {
        let required = schema["required"].as_array().into_iter().flatten();
        Self {
            example: schema["example"].as_object().unwrap().clone(),
            required: required.map(|name| name.as_str().unwrap().to_owned()).collect(),
            properties: names(&schema["properties"]),
        }
    }
}

impl Function {
    /// The fields of its body.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let request = self.request.iter();
        request.flat_map(|request| request.properties.iter().map(String::as_str))
    }

    /// The fields that its body has to have.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        let request = self.request.iter();
        request.flat_map(|request| request.required.iter().map(String::as_str))
    }

    /// The headers that it reads.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        let parameters = self.operation["parameters"].as_array().into_iter().flatten();
        let headers = parameters.filter(|parameter| parameter["in"] == "header");
        headers.map(|parameter| parameter["name"].as_str().unwrap())
    }

    /// Asserts that an answer's status is listed, and that its body has the fields of one of the shapes listed there.
    pub fn assert_described(&self, answer: &Answer) {
        let (status, body) = answer.function_pair();
        let response = &self.operation["responses"][status.to_string()];
        assert!(response.is_object(), "{} does not list {answer:?}", self.name);
        let shapes = schemas(&self.document, &response["content"]["application/json"]["schema"]);
        let fields = names(&body);
        let fits = |shape: &&Value| {
            let properties = names(&shape["properties"]);
            let required = shape["required"].as_array().into_iter().flatten();
            fields.iter().all(|field| properties.contains(field))
                && required
                    .into_iter()
                    .all(|field| !body[field.as_str().unwrap()].is_null())
        };
        assert!(
            shapes.iter().any(fits),
            "{}: {answer:?} fits none of {shapes:?}",
            self.name
        );
    }
}

fn names(object: &Value) -> Vec<String> {
    object
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .cloned()
        .collect()
}

/// The alternatives that a schema leads to.
fn schemas<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let parts = ["allOf", "anyOf", "oneOf"]
        .into_iter()
        .filter_map(|of| schema[of].as_array());
    let inner: Vec<_> = parts.flatten().flat_map(|part| schemas(document, part)).collect();
    if let Some(reference) = schema["$ref"].as_str() {
        schemas(
            document,
            document.pointer(reference.trim_start_matches('#')).unwrap(),
        )
    } else if schema["properties"].is_object() {
        vec![schema]
    } else {
        inner
    }
}
