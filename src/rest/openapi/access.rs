//! What of a schema the current role may see.

use std::collections::HashSet;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use crate::rest::settings::OpenApiMode;
use crate::schema_cache::Routine;
use crate::schema_cache::load::{ROUTINES, routine};

const TABLES: &str = include_str!("../../../sql/catalog/accessible_tables.sql");
const COMMENT: &str = include_str!("../../../sql/catalog/schema_comment.sql");

/// What of a schema a role may see.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Names of the relations on which it has any right. None is every one.
    pub tables: Option<HashSet<String>>,
    /// The routines that it may execute, types spelled by the request's search path. None is every one, as the cache
    /// has it.
    pub routines: Option<Vec<Routine>>,
    /// The schema's comment.
    pub comment: Option<String>,
}

impl Access {
    /// Asks the database, in a transaction that has taken on the request's role and search path.
    pub async fn query(client: &Client, schema: &str, mode: OpenApiMode) -> Result<Self, Error> {
        let names = [(&schema as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT)];
        let comment = async {
            let row = client.query_typed_opt(COMMENT, &names).await?;
            Ok::<_, Error>(row.and_then(|row| row.get("comment")))
        };
        if mode != OpenApiMode::FollowPrivileges {
            return Ok(Self {
                comment: comment.await?,
                ..Self::default()
            });
        }
        let schemas = [schema];
        let for_routines = [
            (
                &&schemas[..] as &(dyn tokio_postgres::types::ToSql + Sync),
                Type::TEXT_ARRAY,
            ),
            // What a function sets is not described.
            (&&[""; 0][..], Type::TEXT_ARRAY),
            (&true, Type::BOOL),
        ];
        let (tables, routines, comment) = tokio::try_join!(
            client.query_typed(TABLES, &names),
            client.query_typed(ROUTINES, &for_routines),
            comment,
        )?;
        Ok(Self {
            tables: Some(tables.iter().map(|row| row.get("name")).collect()),
            routines: Some(routines.iter().map(routine).collect()),
            comment,
        })
    }

    /// Whether the relation of that name is described.
    pub(super) fn may_see(&self, table: &str) -> bool {
        self.tables.as_ref().is_none_or(|tables| tables.contains(table))
    }
}
