//! `schema`.

use super::context::{Context, print};
use super::exit::{DONE, Failure};

pub(crate) fn schema(_: &Context) -> Result<i32, Failure> {
    let text = dunnage_wire::schema::graph_schema();
    print(text);
    if !text.ends_with('\n') {
        print("\n");
    }
    Ok(DONE)
}
