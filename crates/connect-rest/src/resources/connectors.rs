//! `/connectors`: the list, and creating.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use connect_runtime::cluster::TargetState;
use connect_runtime::worker::{Put, PutMode};
use indexmap::IndexMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use utoipa::ToSchema;

use super::Json;
use super::views::{ConnectorInfo, ConnectorStatus};
use crate::app::App;
use crate::body;
use crate::deadline::Deadline;
use crate::error::{ErrorBody, RestError, Result};
use crate::extract::{JsonBody, Pairs};

/// A connector to create.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read by `body::create_request`")]
pub struct CreateConnector {
    /// Blanks at its ends do not count.
    name: String,
    /// Numbers and booleans count as their text.
    config: std::collections::BTreeMap<String, String>,
    /// `RUNNING`, `PAUSED` or `STOPPED`; without it RUNNING.
    initial_state: Option<String>,
}

/// The names of all connectors, or with `expand` an object of names and what was asked for.
#[utoipa::path(get, operation_id = "listConnectors", path = "/connectors", tag = "Connectors",
    params(("expand" = Option<Vec<String>>, Query, description = "`info` or `status`; may be repeated. Others are ignored.")),
    responses((status = 200, description = "Names; with `expand` an object of names and `info`, `status`", body = Vec<String>)))]
pub async fn list(State(app): State<Arc<App>>, pairs: Pairs) -> Response {
    let names = app.worker.connector_names();
    if pairs.all("expand").next().is_none() {
        return Json(names).into_response();
    }
    let expanded: IndexMap<_, _> = names.into_iter().map(|name| expand(&app, &pairs, name)).collect();
    Json(expanded).into_response()
}

fn expand(app: &App, pairs: &Pairs, name: String) -> (String, IndexMap<&'static str, serde_json::Value>) {
    // Views are plain data: they are always JSON. A connector deleted meanwhile has nothing to show.
    let expansion = |what: &str| match what {
        "info" => {
            let info: ConnectorInfo = app.worker.connector_info(&name)?.into();
            Some(("info", serde_json::to_value(info).ok()?))
        }
        "status" => {
            let status: ConnectorStatus = app.worker.connector_status(&name)?.into();
            Some(("status", serde_json::to_value(status).ok()?))
        }
        _ => None,
    };
    let expansions = pairs.all("expand").filter_map(expansion).collect();
    (name, expansions)
}

/// Creates a connector.
#[utoipa::path(post, operation_id = "createConnector", path = "/connectors", tag = "Connectors", request_body = CreateConnector, responses(
    (status = 201, description = "Created; `Location` is its address", body = ConnectorInfo),
    (status = 400, description = "The request or the configuration is wrong", body = ErrorBody),
    (status = 409, description = "A connector of that name exists", body = ErrorBody),
    (status = 413, description = "The body is too large", body = ErrorBody),
    (status = 415, description = "The body is not said to be JSON", body = ErrorBody),
))]
pub async fn create(
    State(app): State<Arc<App>>,
    deadline: Deadline,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let request = body::create_request(&body)?;
    let name = request.name.as_deref().unwrap_or_default().trim().to_owned();
    let initial = request.initial_state.as_deref().map(initial_state).transpose()?;
    let config = body::without_nulls(with_name(request.config, &name)?)?;
    let stage = || format!("checking and writing the configuration of connector {name}");
    let put = app.worker.put_connector(&name, config, PutMode::Create, initial);
    let put = deadline.within(stage, put).await?;
    Ok(put_answer(&app, &headers, put))
}

/// The configuration with its name, which stands at the end where it was not sent.
///
/// # Errors
/// 400 where the configuration has another name, in Kafka Connect's words.
pub fn with_name(mut config: body::SentConfig, name: &str) -> Result<body::SentConfig> {
    if let Some(Some(given)) = config.get("name")
        && given != name
    {
        let message = format!(
            "Connector name configuration ({given}) doesn't match connector name in the URL ({name})"
        );
        return Err(RestError::bad_request("connector.name_mismatch", message));
    }
    config.insert("name".to_owned(), Some(name.to_owned()));
    Ok(config)
}

/// 201 with the address of what was created, 200 for what was replaced.
pub fn put_answer(app: &App, headers: &HeaderMap, put: Put) -> Response {
    let Put { created, info } = put;
    let location = location(app, headers, &info.name);
    let info = Json(ConnectorInfo::from(info));
    match created {
        true => (StatusCode::CREATED, [(header::LOCATION, location)], info).into_response(),
        false => info.into_response(),
    }
}

/// The address of a connector, under the host that the client used.
fn location(app: &App, headers: &HeaderMap, name: &str) -> String {
    /// All but the unreserved characters of RFC 3986.
    const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.map_or_else(|| app.worker.info().address, str::to_owned);
    format!("http://{host}/connectors/{}", utf8_percent_encode(name, SEGMENT))
}

fn initial_state(text: &str) -> Result<TargetState> {
    match text.to_ascii_uppercase().as_str() {
        "RUNNING" => Ok(TargetState::Started),
        "PAUSED" => Ok(TargetState::Paused),
        "STOPPED" => Ok(TargetState::Stopped),
        _ => {
            let message = format!("initial_state is {text:?}: write RUNNING, PAUSED or STOPPED");
            Err(RestError::bad_request("connector.initial_state", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_checked_and_stands_where_it_was_sent() {
        let sent = |json: &str| body::config(json.as_bytes()).expect("a configuration");
        let keys = |config: body::SentConfig| config.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(with_name(sent(r#"{"a":1}"#), "x").expect("named")), ["a", "name"]);
        assert_eq!(keys(with_name(sent(r#"{"name":"x","a":1}"#), "x").expect("named")), ["name", "a"]);
        assert_eq!(with_name(sent(r#"{"name":null}"#), "x").expect("named")["name"].as_deref(), Some("x"));
        let error = with_name(sent(r#"{"name":"y"}"#), "x").expect_err("another name");
        assert_eq!(
            error.message,
            "Connector name configuration (y) doesn't match connector name in the URL (x)"
        );
    }

    #[test]
    fn initial_states_are_read_in_any_case() {
        assert_eq!(initial_state("stopped"), Ok(TargetState::Stopped));
        assert_eq!(initial_state("Paused"), Ok(TargetState::Paused));
        assert_eq!(initial_state("x").expect_err("none").status, StatusCode::BAD_REQUEST);
    }
}
