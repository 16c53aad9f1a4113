//! A call's parameters with the description they are read by.
//!
//! Values are JSON; a string that reads as a number counts as one. Reading by a name that the
//! description lacks is a bug of the kernel and is reported as an error, never by a panic.

use serde_json::{Map, Value};

use crate::error::KernelError;
use crate::kernel::{KernelInfo, ParamInfo, ParamKind};

/// The parameters of one call.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    info: &'static KernelInfo,
    given: &'a Map<String, Value>,
}

impl<'a> Params<'a> {
    /// The parameters `given` to the kernel described by `info`.
    pub fn new(info: &'static KernelInfo, given: &'a Map<String, Value>) -> Self {
        Self { info, given }
    }

    /// Whether a value was given (`null` counts as left out).
    pub fn has(&self, name: &str) -> bool {
        self.given.get(name).is_some_and(|value| !value.is_null())
    }

    /// A number.
    pub fn number(&self, name: &str) -> Result<f64, KernelError> {
        let value = self.value(name)?;
        as_number(&value).ok_or_else(|| self.wrong(name, &value))
    }

    /// A whole number.
    pub fn count(&self, name: &str) -> Result<usize, KernelError> {
        let value = self.value(name)?;
        as_count(&value).ok_or_else(|| self.wrong(name, &value))
    }

    /// A whole number, or none where it is left out.
    pub fn count_if_given(&self, name: &str) -> Result<Option<usize>, KernelError> {
        if self.has(name) { self.count(name).map(Some) } else { Ok(None) }
    }

    /// True or false.
    pub fn flag(&self, name: &str) -> Result<bool, KernelError> {
        let value = self.value(name)?;
        as_flag(&value).ok_or_else(|| self.wrong(name, &value))
    }

    /// Text.
    pub fn text(&self, name: &str) -> Result<String, KernelError> {
        let value = self.value(name)?;
        value.as_str().map(str::to_owned).ok_or_else(|| self.wrong(name, &value))
    }

    /// A list of whole numbers.
    pub fn counts(&self, name: &str) -> Result<Vec<usize>, KernelError> {
        let value = self.value(name)?;
        value
            .as_array()
            .and_then(|list| list.iter().map(as_count).collect())
            .ok_or_else(|| self.wrong(name, &value))
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, KernelError> {
        let value = self.value(name)?;
        value
            .as_array()
            .and_then(|list| list.iter().map(|v| v.as_str().map(str::to_owned)).collect())
            .ok_or_else(|| self.wrong(name, &value))
    }

    /// A table.
    pub fn table(&self, name: &str) -> Result<Map<String, Value>, KernelError> {
        let value = self.value(name)?;
        value.as_object().cloned().ok_or_else(|| self.wrong(name, &value))
    }

    /// An error about parameter `name`.
    pub fn error(&self, name: &str, message: impl Into<String>) -> KernelError {
        KernelError::Param {
            kernel: self.info.name.to_owned(),
            name: name.to_owned(),
            message: message.into(),
        }
    }

    /// The value given, or else the default.
    fn value(&self, name: &str) -> Result<Value, KernelError> {
        if let Some(value) = self.given.get(name).filter(|value| !value.is_null()) {
            return Ok(value.clone());
        }
        let default = self
            .info
            .params
            .iter()
            .find(|param| param.name == name)
            .and_then(|param| param.default)
            .ok_or_else(|| self.error(name, "missing; give it in `params`"))?;
        // Defaults are written as they would be in a graph; a bare word is a text.
        Ok(serde_json::from_str(default).unwrap_or_else(|_| Value::String(default.to_owned())))
    }

    fn wrong(&self, name: &str, value: &Value) -> KernelError {
        let expected = self
            .info
            .params
            .iter()
            .find(|param| param.name == name)
            .map_or_else(|| "another type".to_owned(), |param| describe(param.kind));
        self.error(name, format!("`{value}` is not {expected}"))
    }
}

/// What is wrong with `value` for `param`, if anything.
pub(crate) fn mismatch(param: &ParamInfo, value: &Value) -> Option<String> {
    let right = match param.kind {
        ParamKind::Number => as_number(value).is_some(),
        ParamKind::Positive => as_number(value).is_some_and(|n| n > 0.0),
        ParamKind::NonNegative => as_number(value).is_some_and(|n| n >= 0.0),
        ParamKind::Count => as_count(value).is_some(),
        ParamKind::Flag => as_flag(value).is_some(),
        ParamKind::Text => value.is_string(),
        ParamKind::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        ParamKind::Counts => value.as_array().is_some_and(|list| list.iter().all(|v| as_count(v).is_some())),
        ParamKind::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
        ParamKind::Table => value.is_object(),
    };
    (!right).then(|| format!("`{value}` is not {}", describe(param.kind)))
}

/// A kind in words.
pub(crate) fn describe(kind: ParamKind) -> String {
    match kind {
        ParamKind::Number => "a finite number".to_owned(),
        ParamKind::Positive => "a number above 0".to_owned(),
        ParamKind::NonNegative => "a number, 0 or above".to_owned(),
        ParamKind::Count => "a whole number, 0 or above".to_owned(),
        ParamKind::Flag => "true or false".to_owned(),
        ParamKind::Text => "a text".to_owned(),
        ParamKind::OneOf(words) => format!("one of {}", words.join(", ")),
        ParamKind::Counts => "a list of whole numbers".to_owned(),
        ParamKind::Texts => "a list of texts".to_owned(),
        ParamKind::Table => "a table".to_owned(),
    }
}

/// A finite number, also from text.
pub(crate) fn as_number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    number.is_finite().then_some(number)
}

fn as_count(value: &Value) -> Option<usize> {
    if let Some(count) = value.as_u64() {
        return usize::try_from(count).ok();
    }
    if let Some(text) = value.as_str() {
        return text.trim().parse().ok();
    }
    // 3.0 is a whole number too; above 2^53 a float no longer says which.
    let number = value.as_f64()?;
    let whole = number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number);
    whole.then_some(number as usize)
}

fn as_flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_that_reads_as_a_number_is_one() {
        assert_eq!(as_number(&json!("0.5")), Some(0.5));
        assert_eq!(as_number(&json!(6)), Some(6.0));
        assert_eq!(as_number(&json!("nan")), None);
        assert_eq!(as_number(&json!("six")), None);
        assert_eq!(as_count(&json!("3")), Some(3));
        assert_eq!(as_count(&json!(3.0)), Some(3));
        assert_eq!(as_count(&json!(-1)), None);
        assert_eq!(as_count(&json!(2.5)), None);
        assert_eq!(as_flag(&json!("true")), Some(true));
    }
}
