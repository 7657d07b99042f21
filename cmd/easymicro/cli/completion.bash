
# What follows takes the place of functions above, so that nothing else has to be installed: they ask the package
# bash-completion for the words of the line and for files.

# Sets cur, prev, words and cword up to the cursor. Readline begins a new word at = : and @ too; here only blanks do.
__easymicro_words() {
    local rest=${COMP_LINE:0:COMP_POINT} text word i
    words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        text=${rest#"${rest%%[![:space:]]*}"}
        word=${COMP_WORDS[i]}
        ((i == COMP_CWORD)) && word=$text
        if ((i > 0)) && [[ $text == "$rest" ]]; then
            words[${#words[@]}-1]+=$word
        else
            words[${#words[@]}]=$word
        fi
        rest=${text#"$word"}
    done
    cword=$((${#words[@]} - 1))
    cur=${words[cword]}
    prev=
    ((cword > 0)) && prev=${words[cword - 1]}
    return 0
}

# Completes files of the given endings, as in yaml|yml|, and folders; with -d folders alone.
__easymicro_files() {
    local name
    [[ $(type -t compopt) == builtin ]] && compopt -o filenames 2>/dev/null # readline then quotes them
    while IFS='' read -r name; do
        if [[ -d $name || ( $1 != -d && ( -z $1 || "|$1" == *"|${name##*.}|"* ) ) ]]; then
            COMPREPLY+=("$name")
        fi
    done < <(compgen -f -- "$cur")
}
declare -F _filedir >/dev/null || _filedir() { __easymicro_files "$@"; }

__start_easymicro() {
    local cur prev words cword out directive

    COMPREPLY=()
    __easymicro_words
    __easymicro_get_completion_results
    __easymicro_process_completion_results
    if [[ $cur == *@* && $COMP_WORDBREAKS == *@* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${cur%@*}"}") # readline leaves an @ to the word that it begins
    fi
}
