/** What the compiler does not see; how code is laid out is nobody's fault, so no rule of layout is on. */
import js from '@eslint/js'
import globals from 'globals'
import vue from 'eslint-plugin-vue'
import a11y from 'eslint-plugin-vuejs-accessibility'
import ts from 'typescript-eslint'

export default ts.config(
  { ignores: ['dist', 'node_modules', 'public', 'src/api/schema.d.ts'] },
  js.configs.recommended,
  ...ts.configs.recommended,
  ...vue.configs['flat/recommended'],
  ...a11y.configs['flat/recommended'],
  {
    files: ['**/*.{ts,vue}'],
    languageOptions: { globals: globals.browser, parserOptions: { parser: ts.parser } },
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'vue/html-indent': 'off',
      'vue/html-self-closing': 'off',
      'vue/max-attributes-per-line': 'off',
      'vue/singleline-html-element-content-newline': 'off',
      'vue/require-default-prop': 'off', // an optional prop is undefined, as its type says
      'vue/no-mutating-props': ['error', { shallowOnly: true }], // the parts of a form write to one draft
      'vuejs-accessibility/label-has-for': ['error', { required: { some: ['nesting', 'id'] } }],
      // UiField gives its control a label by v-bind, which no rule sees; axe looks at every screen
      'vuejs-accessibility/form-control-has-label': 'off',
      'vuejs-accessibility/media-has-caption': 'off', // sounds of devices and models have none
    },
  },
)
