//! Errors as answers.

use crate::accept::Rejected;
use crate::front::NotAccepted;
use crate::shell::Refused;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use dunnage_model::Problem;
use dunnage_wire::api::{ErrorDoc, ProblemDoc};

/// An error with its status.
#[derive(Debug)]
pub(crate) struct ApiError(pub(crate) StatusCode, pub(crate) ErrorDoc);

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &str, error: impl Into<String>) -> Self {
        Self(status, ErrorDoc { error: error.into(), code: code.to_owned(), problems: Vec::new() })
    }

    pub(crate) fn problems(status: StatusCode, code: &str, error: &str, problems: &[Problem]) -> Self {
        let problems = problems.iter().map(ProblemDoc::from).collect();
        Self(status, ErrorDoc { error: error.to_owned(), code: code.to_owned(), problems })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound(text) => Self::new(StatusCode::NOT_FOUND, "not_found", text),
            Refused::Forbidden(text) => Self::new(StatusCode::FORBIDDEN, "forbidden", text),
            Refused::Conflict(text) => Self::new(StatusCode::CONFLICT, "conflict", text),
            Refused::Broken(text) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "internal", text),
            Refused::Impossible(problems) => Self::problems(
                StatusCode::UNPROCESSABLE_ENTITY,
                "refused",
                "this machine cannot run the graph",
                &problems,
            ),
        }
    }
}

impl From<NotAccepted> for ApiError {
    fn from(not: NotAccepted) -> Self {
        match not {
            NotAccepted::Rejected(Rejected::Invalid(problems)) => {
                Self::problems(StatusCode::BAD_REQUEST, "invalid", "the graph is not valid", &problems)
            }
            NotAccepted::Rejected(Rejected::Refused(problems)) => Self::problems(
                StatusCode::UNPROCESSABLE_ENTITY,
                "refused",
                "this machine cannot run the graph",
                &problems,
            ),
            NotAccepted::Refused(refused) => refused.into(),
        }
    }
}
