module github.com/nubishark/nubishark

go 1.25
