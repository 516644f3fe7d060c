// Prisma's query engine of its own build for WASM, with the HTTP interface of its native binary.
//
//   query-engine -p PORT     with DATABASE_URL and PRISMA_DML_PATH, as prisma-client-py starts it
//
// The native binary comes from a host of Prisma alone, this from npm: the same commit, node-postgres below it.
'use strict'
const fs = require('node:fs'), http = require('node:http'), path = require('node:path')
const { dependencies } = require('./package.json')
const COMMIT = dependencies['@prisma/query-engine-wasm'].split('.').pop()
if (process.argv.includes('--version')) {
  console.log(`query-engine ${COMMIT}`)
  process.exit(0)
}
process.title = 'query-engine'
const { models, translated, answered } = require('./queries.cjs')
const { database } = require('./database.cjs')

const TRANSACTION = /^\/transaction\/([^/]+)\/(commit|rollback)$/

async function started(datamodel, adapter) {
  const glue = require.resolve('@prisma/query-engine-wasm/postgresql/query_engine_bg.js')
  const wasm = await import(glue)
  const code = fs.readFileSync(path.join(path.dirname(glue), 'query_engine_bg.wasm'))
  wasm.__wbg_set_wasm((await WebAssembly.instantiate(code, { './query_engine_bg.js': wasm })).instance.exports)
  const engine = new wasm.QueryEngine({ datamodel, logLevel: 'error', logQueries: false }, () => {}, adapter)
  await engine.connect('{}')
  return engine
}

function urlOfDatabase() {
  const [overwritten] = JSON.parse(process.env.OVERWRITE_DATASOURCES ?? '[]')
  return overwritten?.url ?? process.env.DATABASE_URL
}

async function main() {
  const datamodel = fs.readFileSync(process.env.PRISMA_DML_PATH, 'utf8'), all = models(datamodel)
  const { pool, adapter, facing, worded } = database(urlOfDatabase())
  const engine = await started(datamodel, adapter)
  try {
    ;(await pool.connect()).release()
  } catch (why) {
    // As the native one: none without a database. LiteLLM's readiness counts on it.
    console.error(JSON.stringify(facing(String(why.message || why.code))))
    process.exit(1)
  }

  async function query(body, transaction) {
    const { batch, query: text, transaction: atOnce } = JSON.parse(body)
    const queries = (batch ?? [{ query: text }]).map((one) => translated(all, one.query))
    const asked = batch ? { batch: queries.map((one) => one.body), transaction: atOnce ? {} : null } : queries[0].body
    const found = JSON.parse(await engine.query(JSON.stringify(asked), '{}', transaction))
    if (found.batchResult) found.batchResult = found.batchResult.map((one, place) => worded(answered(queries[place], one)))
    return worded(batch ? found : answered(queries[0], found))
  }

  // [status, answer]
  async function answer(route, body, transaction) {
    const ending = TRANSACTION.exec(route)
    if (route === '/status') return [200, { status: 'ok' }]
    if (route === '/metrics') return [200, { counters: [], gauges: [], histograms: [] }]
    if (route !== '/transaction/start' && !ending) return [200, await query(body, transaction)]
    const called = ending ? engine[`${ending[2]}Transaction`](ending[1], '{}') : engine.startTransaction(body || '{}', '{}')
    const done = JSON.parse(await called)
    return [done.error_code ? 500 : 200, done]
  }

  const server = http.createServer(async (request, response) => {
    let status, told
    try {
      const parts = await request.toArray()
      ;[status, told] = await answer(request.url, Buffer.concat(parts).toString(), request.headers['x-transaction-id'])
    } catch (why) {
      const message = String(why?.stack ?? why)
      ;[status, told] = [200, { errors: [{ error: message, user_facing_error: { is_panic: true, message } }] }]
    }
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(told))
  })
  server.keepAliveTimeout = 0
  server.listen(+process.argv[process.argv.indexOf('-p') + 1], 'localhost')
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0))
  setInterval(() => process.ppid === 1 && process.exit(0), 1000).unref() // its proxy was killed
}

main()
