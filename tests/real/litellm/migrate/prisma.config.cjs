// Prisma's own schema engine, built for WASM, in place of its native binary: `prisma migrate` of a directory whose
// database is DATABASE_URL's.
'use strict'
const Result = require('pg/lib/result')
const { PrismaPg } = require('@prisma/adapter-pg')
const { defineConfig } = require('prisma/config')

// Column types that the adapter refuses and the native engine reads: "char", name, unknown, void, name[].
const TEXT = 25, TEXTS = 1009
const READ_AS = new Map([[18, TEXT], [19, TEXT], [705, TEXT], [2278, TEXT], [1003, TEXTS]])
const { addFields } = Result.prototype
Result.prototype.addFields = function (fields) {
  for (const field of fields) field.dataTypeID = READ_AS.get(field.dataTypeID) ?? field.dataTypeID
  return addFields.call(this, fields)
}

// The adapter cuts a script at each semicolon, those in a function's body, too; the native engine sends it whole. And a
// build for WASM knows no environment, by which LiteLLM says that it holds the lock of migrations itself.
const locked = (text) => process.env.PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK && /^\s*select pg_advisory_lock\(/i.test(text)
class Whole extends PrismaPg {
  async connect() {
    const adapter = await super.connect(), { client } = adapter
    adapter.executeScript = (script) =>
      client.query(locked(script) ? 'select 1' : script).then(() => undefined, (error) => adapter.onError(error))
    for (const name of ['queryRaw', 'executeRaw']) {
      const real = adapter[name].bind(adapter)
      adapter[name] = (query) => real(locked(query.sql) ? { ...query, sql: 'select 1' } : query)
    }
    return adapter
  }
}

const { hostname, port, username, password, pathname } = new URL(process.env.DATABASE_URL)
const connection = {
  host: hostname, port: +(port || 5432), database: pathname.slice(1), max: 1,
  user: decodeURIComponent(username), password: decodeURIComponent(password),
}
module.exports = defineConfig({
  engine: 'js',
  experimental: { adapter: true },
  schema: `${process.cwd()}/schema.prisma`,
  migrations: { path: `${process.cwd()}/migrations` },
  adapter: async () => new Whole(connection),
})
