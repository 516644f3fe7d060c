// Prisma's queries as prisma-client-py sends them (GraphQL), in the only protocol of the engine's WASM build (JSON).
'use strict'
const { parse } = require('graphql/language')

const ACTIONS = [
  'findUnique', 'findFirst', 'findMany', 'createManyAndReturn', 'createMany', 'createOne', 'updateMany', 'updateOne',
  'deleteMany', 'deleteOne', 'upsertOne', 'aggregate', 'groupBy',
]
const OPERATORS_ON_JSON = new Set(['equals', 'not', 'set', 'push', 'array_contains', 'array_starts_with', 'array_ends_with'])

// Of each model, the type of each field.
function models(schema) {
  const found = {}
  for (const [, name, body] of schema.matchAll(/^model\s+(\w+)\s*\{([\s\S]*?)^\}/gm))
    found[name] = Object.fromEntries([...body.matchAll(/^\s+(\w+)\s+(\w+)/gm)].map(([, field, type]) => [field, type]))
  return found
}

function literal(node) {
  switch (node.kind) {
    case 'IntValue':
      return Number.isSafeInteger(+node.value) ? +node.value : { $type: 'BigInt', value: node.value }
    case 'FloatValue':
      return +node.value
    case 'NullValue':
      return null
    case 'ListValue':
      return node.values.map(literal)
    case 'ObjectValue':
      return Object.fromEntries(node.fields.map((field) => [field.name.value, literal(field.value)]))
    case 'StringValue': case 'EnumValue': case 'BooleanValue':
      return node.value
    default:
      throw new Error(`a value of kind ${node.kind} has no counterpart`)
  }
}

const given = (field) => Object.fromEntries((field.arguments ?? []).map((one) => [one.name.value, literal(one.value)]))

function selected(field) {
  const chosen = field.selectionSet?.selections ?? []
  return Object.fromEntries(chosen.map((one) => {
    const plain = !one.selectionSet && !one.arguments?.length
    return [one.name.value, plain || { arguments: given(one), selection: selected(one) }]
  }))
}

// In GraphQL a string for a field of type Json is JSON text; here it would be a JSON string, unless it is marked.
function marked(value) {
  if (typeof value === 'string') return { $type: 'Json', value }
  if (Array.isArray(value)) return value.map(marked)
  if (!value || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, OPERATORS_ON_JSON.has(key) ? marked(one) : one]))
}

function typed(all, model, value) {
  if (Array.isArray(value)) return value.map((one) => typed(all, model, one))
  if (!value || typeof value !== 'object' || value.$type) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => {
    const type = all[model]?.[key]
    if (type === 'Json') return [key, marked(one)]
    if (type && !all[type]) return [key, one]
    return [key, typed(all, type ?? model, one)]
  }))
}

// {alias, raw, body}: the name of the result, whether it is rows of SQL, and the query.
function translated(all, text) {
  const [field] = parse(text, { noLocation: true }).definitions[0].selectionSet.selections
  const name = field.name.value, alias = (field.alias ?? field.name).value
  const query = { arguments: given(field), selection: selected(field) }
  if (name === 'queryRaw' || name === 'executeRaw') return { alias, raw: true, body: { action: name, query } }
  const action = ACTIONS.find((one) => name.startsWith(one))
  const orThrow = /^find(Unique|First)\w+OrThrow$/.test(name) ? 'OrThrow' : ''
  const modelName = name.slice(action.length, orThrow ? -orThrow.length : undefined)
  for (const key of Object.keys(query.arguments)) query.arguments[key] = typed(all, modelName, query.arguments[key])
  return { alias, raw: false, body: { modelName, action: action + orThrow, query } }
}

function unmarked(value) {
  if (Array.isArray(value)) return value.map(unmarked)
  if (!value || typeof value !== 'object') return value
  if (typeof value.$type === 'string' && 'value' in value) return value.value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, unmarked(one)]))
}

// The adapter leaves columns of JSON as text; the native engine parses them.
function rows(table) {
  if (!table?.types) return table
  const parsed = (value) => (typeof value === 'string' ? JSON.parse(value) : value)
  table.types.forEach((type, column) => {
    if (type !== 'json' && type !== 'json-array') return
    for (const row of table.rows) row[column] = Array.isArray(row[column]) ? row[column].map(parsed) : parsed(row[column])
  })
  return table
}

function answered({ alias, raw }, result) {
  if (!result?.data) return result
  const [value] = Object.values(result.data)
  return { ...result, data: { [alias]: raw ? rows(value) : unmarked(value) } }
}

module.exports = { models, translated, answered }
