// What Prisma's own schema engine says about a database's migrations: one JSON object on stdout.
// Arguments: the directory with @prisma/schema-engine-wasm, the one with @prisma/adapter-pg, the migrations.
import { createRequire } from 'node:module';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const [schemaEngine, adapters, migrations] = process.argv.slice(2);
const engineModule = path.join(schemaEngine, 'node_modules/@prisma/schema-engine-wasm');
const glue = await import(path.join(engineModule, 'schema_engine_bg.js'));
const wasm = new WebAssembly.Module(readFileSync(path.join(engineModule, 'schema_engine_bg.wasm')));
const { exports } = new WebAssembly.Instance(wasm, { './schema_engine_bg.js': glue });
glue.__wbg_set_wasm(exports);
exports.__wbindgen_start();

const require = createRequire(path.join(adapters, 'main.js'));
const { PrismaPg } = require('@prisma/adapter-pg');
const { bindMigrationAwareSqlAdapterFactory } = require('@prisma/driver-adapter-utils');
const factory = bindMigrationAwareSqlAdapterFactory(new PrismaPg({ connectionString: process.env.DATABASE_URL }));
const schema = 'datasource db {\n  provider = "postgresql"\n}\n';
const engine = await glue.SchemaEngine.new({ datamodels: [['schema.prisma', schema]] }, () => {}, factory);

const directories = readdirSync(migrations, { withFileTypes: true }).filter((entry) => entry.isDirectory());
const migrationDirectories = directories.map(({ name }) => ({
  path: name,
  migrationFile: {
    path: 'migration.sql',
    content: { tag: 'ok', value: readFileSync(path.join(migrations, name, 'migration.sql'), 'utf8') },
  },
}));
migrationDirectories.sort((a, b) => (a.path < b.path ? -1 : 1));
const answer = await engine.diagnoseMigrationHistory({
  migrationsList: {
    baseDir: migrations,
    lockfile: { path: 'migration_lock.toml', content: 'provider = "postgresql"' },
    shadowDbInitScript: '',
    migrationDirectories,
  },
  optInToShadowDatabase: false,
  filters: { externalTables: [], externalEnums: [] },
});
console.log(JSON.stringify(answer, (_, value) => (value instanceof Map ? Object.fromEntries(value) : value)));
process.exit(0);
