// The engine's way to PostgreSQL, and how the native engine words what goes wrong on it.
'use strict'
const os = require('node:os')
const pg = require('pg')
const { PrismaPg } = require('@prisma/adapter-pg')
const { bindAdapter } = require('@prisma/driver-adapter-utils')

// Column types that the adapter refuses and the native engine reads: "char", name, unknown, void, name[].
const TEXT = 25, TEXTS = 1009, NAMES = 1003
const READ_AS = new Map([[18, TEXT], [19, TEXT], [705, TEXT], [2278, TEXT], [NAMES, TEXTS]])
pg.types.setTypeParser(NAMES, pg.types.getTypeParser(TEXTS))
const queryable = Object.getPrototypeOf(PrismaPg.prototype)
const { performIO } = queryable
queryable.performIO = async function (query) {
  const done = await performIO.call(this, query)
  for (const field of (done.ok && done.value.fields) || []) field.dataTypeID = READ_AS.get(field.dataTypeID) ?? field.dataTypeID
  return done
}

// url: as Prisma has it, with connection_limit, pool_timeout (seconds), schema and sslmode.
function database(url) {
  const { hostname, port, username, password, pathname, searchParams: asked } = new URL(url)
  const seconds = +(asked.get('pool_timeout') ?? 10), max = +(asked.get('connection_limit') ?? os.cpus().length * 2 + 1)
  const schema = asked.get('schema') ?? 'public', at = `${hostname}:${port || 5432}`
  const pool = new pg.Pool({
    host: asked.get('host') ?? hostname, port: +(port || 5432), max, connectionTimeoutMillis: seconds * 1000,
    user: decodeURIComponent(username), password: decodeURIComponent(password), database: pathname.slice(1),
    ssl: /^(require|verify)/.test(asked.get('sslmode')) && { rejectUnauthorized: asked.get('sslaccept') === 'strict' },
    options: `-c TimeZone=UTC -c search_path="${schema}"`,
  })
  pool.on('error', () => {}) // an idle connection that breaks is seen by the next query
  const adapter = bindAdapter(new PrismaPg(pool, { schema }))

  function facing(cause) {
    const meta = { database_host: hostname, database_port: +(port || 5432) }
    const [error_code, message] = /timeout exceeded when trying to connect/.test(cause)
      ? ['P2024', `Timed out fetching a new connection from the connection pool. (Current connection pool timeout: ${seconds}, connection limit: ${max})`]
      : /terminated|ECONNRESET|not queryable|57P0/.test(cause)
        ? ['P1017', 'Server has closed the connection.']
        : ['P1001', `Can't reach database server at \`${at}\`\n\nPlease make sure your database server is running at \`${at}\`.`]
    return { is_panic: false, message, meta, error_code }
  }
  // The engine tells of an error of the adapter by its number only (P2036).
  function worded(result) {
    for (const one of result?.errors ?? []) {
      if (one.user_facing_error?.error_code !== 'P2036') continue
      const { id } = one.user_facing_error.meta, found = adapter.errorRegistry.consumeError(id)?.error
      adapter.errorRegistry.registeredErrors[id] = undefined
      one.error = String(found?.message || found?.code || found)
      one.user_facing_error = facing(one.error)
    }
    return result
  }
  return { pool, adapter, facing, worded }
}

module.exports = { database }
