use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use super::run::place;

/// Rows removed in one transaction, so that no append waits long behind it.
const STEP: i64 = 200;
/// How often expired keys are looked for; also the pause after a failure.
const EVERY: Duration = Duration::from_secs(60);

/// Removes, in small steps, what nobody can see any more: expired keys, records below a floor,
/// what deleted worlds left. Run by the writer when it has nothing better to do.
pub(super) struct Tidy {
    key_lifetime: Duration,
    keys_due: Instant,
    paused_until: Option<Instant>,
}

impl Tidy {
    pub fn new(key_lifetime: Duration) -> Self {
        Self { key_lifetime, keys_due: Instant::now(), paused_until: None }
    }

    /// One step. Whether there may be more to do at once.
    pub fn step(&mut self, conn: &Connection) -> bool {
        if self.paused_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        self.transaction(conn).unwrap_or_else(|error| {
            // Dropping the transaction took it back.
            tracing::warn!(%error, "failed to remove old rows");
            self.paused_until = Some(Instant::now() + EVERY);
            false
        })
    }

    fn transaction(&mut self, conn: &Connection) -> rusqlite::Result<bool> {
        let trash = conn
            .prepare_cached("SELECT world, upto, whole FROM trash LIMIT 1")?
            .query_row([], |r| Ok((r.get(0)?, super::seq_of(r, 1)?, r.get(2)?)))
            .optional()?;
        let keys_due = self.keys_due <= Instant::now();
        if trash.is_none() && !keys_due {
            return Ok(false);
        }
        let tx = conn.unchecked_transaction()?;
        if keys_due {
            let removed = tx
                .prepare_cached(
                    "DELETE FROM keys WHERE (world, key, user) IN (SELECT world, key, user
                       FROM keys WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?2)",
                )?
                .execute(params![super::now_ms() - super::millis(self.key_lifetime), STEP])?;
            if (removed as i64) < STEP {
                self.keys_due = Instant::now() + EVERY;
            }
        }
        if let Some((world, upto, whole)) = trash {
            empty(&tx, world, upto, whole)?;
        }
        tx.commit()?;
        Ok(true)
    }
}

fn empty(conn: &Connection, world: i64, upto: u64, whole: bool) -> rusqlite::Result<()> {
    // A run that reaches beyond `upto` stays until the floor has passed it.
    let runs = conn
        .prepare_cached(
            "DELETE FROM runs WHERE num IN (SELECT num FROM runs
               WHERE place BETWEEN ?1 AND ?2 ORDER BY place LIMIT ?3)",
        )?
        .execute([place(world, 0), place(world, upto), STEP])?;
    let keys = if whole {
        conn.prepare_cached(
            "DELETE FROM keys WHERE world = ?1 AND (key, user) IN (SELECT key, user
               FROM keys WHERE world = ?1 LIMIT ?2)",
        )?
        .execute(params![world, STEP])?
    } else {
        0
    };
    if runs.max(keys) < STEP as usize {
        conn.prepare_cached("DELETE FROM trash WHERE world = ?1")?.execute([world])?;
    }
    Ok(())
}
